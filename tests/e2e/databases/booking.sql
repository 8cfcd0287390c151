-- What the applications of others taught: checks that masked columns must meet, rows picked by what is not there, people in
-- tables that are not called after them.
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE guest (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identifier text NOT NULL UNIQUE,
    email text NOT NULL CHECK (email = lower(email)),
    phone text CHECK (phone ~ '^\+[0-9]+( [0-9]+)*$'),
    nationality text NOT NULL CHECK (nationality = ANY (ARRAY['de', 'fr', 'nl'])),
    passport_no text NOT NULL CHECK (passport_no ~ '^[A-Z]{2}[0-9]{6}$'),
    tax_id text CHECK (tax_id IS NOT NULL OR id > 0),
    merged_into bigint REFERENCES guest CHECK (merged_into <> id),
    device_id integer NOT NULL CHECK (device_id >= 0)
);
CREATE UNIQUE INDEX guest_email ON guest (lower(email)) WHERE merged_into IS NULL;
CREATE TABLE room (id integer PRIMARY KEY, title text NOT NULL CHECK (char_length(title) <= 60));
CREATE TABLE stay (
    id bigint PRIMARY KEY, guest_id bigint REFERENCES guest, room_id integer REFERENCES room, nights positive NOT NULL,
    city text, street text, zip text, search_text text,
    CHECK (num_nonnulls(guest_id, room_id) = 1), CHECK ((guest_id IS NULL) = (nights > 100))
);
CREATE TABLE bank_card (
    id integer PRIMARY KEY, guest_id bigint NOT NULL REFERENCES guest, name text NOT NULL, number text NOT NULL CHECK (number ~~ '%-%'),
    kind text NOT NULL, api_key text, CHECK (api_key IS NOT NULL OR kind = 'gift'),
    street text, CHECK (street ~ 'Lane' OR kind = 'gift')
);
CREATE TABLE invoice (
    id integer PRIMARY KEY, invoice_to_name text CHECK (invoice_to_name <> ''), invoice_to_street text, invoice_from_company text,
    total numeric(10, 2) NOT NULL CHECK (total >= 0)
);
CREATE TABLE survey_entry (id integer PRIMARY KEY, title text, name text, homepage text, email text, data text,
    wallet_mode integer NOT NULL, wallet jsonb NOT NULL CHECK (wallet_mode <> 1 OR wallet <> '{}'));
CREATE TABLE stay_note (id integer PRIMARY KEY, stay_id bigint REFERENCES stay, content text);

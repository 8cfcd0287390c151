-- A shop that rents films: cities, customers, rentals, payments by month; staff that has bosses, notes that belong to anything,
-- and people of whom some are members.
CREATE TABLE city (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE staff (id serial PRIMARY KEY, boss int REFERENCES staff, name text NOT NULL, active boolean NOT NULL);
CREATE TABLE customer (
    id serial PRIMARY KEY,
    city int NOT NULL REFERENCES city,
    served_by int REFERENCES staff,
    email text NOT NULL UNIQUE
);
CREATE TABLE rental (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES customer, film text NOT NULL);
CREATE TABLE payment (
    id bigint, month int, rental bigint NOT NULL REFERENCES rental, amount numeric(8, 2) NOT NULL,
    PRIMARY KEY (id, month)
) PARTITION BY LIST (month);
CREATE TABLE payment_1 PARTITION OF payment FOR VALUES IN (1);
CREATE TABLE payment_2 PARTITION OF payment FOR VALUES IN (2);
CREATE TABLE note (id serial PRIMARY KEY, owner_type text NOT NULL, owner_id int, text text NOT NULL);
CREATE TABLE visit (id serial PRIMARY KEY, client int NOT NULL, at date NOT NULL);
CREATE TABLE audit (id serial PRIMARY KEY, said text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE member (since date NOT NULL, PRIMARY KEY (id)) INHERITS (person);
CREATE INDEX ON rental (customer);
CREATE INDEX ON payment (rental);

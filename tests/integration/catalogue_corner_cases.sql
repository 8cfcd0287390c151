-- A schema of corner cases: everything that planning has to see, and that comes back exactly after a load.
CREATE SCHEMA "Odd Schema";
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN public.short AS varchar(12) NOT NULL;
CREATE DOMAIN public.shorter AS public.short CHECK (length(VALUE) < 10) DEFAULT 'x';

CREATE TABLE "Odd Schema"."Wei""rd Table" (
  "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "a column" numeric(12, 3),
  code public.shorter,
  email citext UNIQUE,
  mood public.mood,
  doubled numeric GENERATED ALWAYS AS ("a column" * 2) STORED,
  tags text[],
  at timestamptz(3),
  parent bigint REFERENCES "Odd Schema"."Wei""rd Table" ("Id") DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT "positive one" CHECK ("a column" > 0)
);
CREATE INDEX "Wei rd idx" ON "Odd Schema"."Wei""rd Table" (lower(code), "a column" DESC NULLS LAST)
  INCLUDE (mood) WITH (fillfactor = 70) WHERE "a column" IS NOT NULL;
COMMENT ON INDEX "Odd Schema"."Wei rd idx" IS 'it''s odd';
ALTER INDEX "Odd Schema"."Wei rd idx" ALTER COLUMN 1 SET STATISTICS 77;

CREATE TABLE public.account (
  id serial PRIMARY KEY,
  login text NOT NULL,
  nick text,
  place text,
  team int,
  weird bigint,
  CONSTRAINT weird_fk FOREIGN KEY (weird) REFERENCES "Odd Schema"."Wei""rd Table" ON DELETE SET NULL ON UPDATE CASCADE
);
COMMENT ON CONSTRAINT weird_fk ON public.account IS 'points at the odd one';
CREATE UNIQUE INDEX account_login_key ON public.account (lower(login));
CREATE UNIQUE INDEX account_team_nick ON public.account (team, nick) NULLS NOT DISTINCT WHERE team > 0;
CREATE INDEX account_team_idx ON public.account (team);
ALTER TABLE public.account CLUSTER ON account_team_idx;
CREATE INDEX account_hash ON public.account USING hash (login);

CREATE TABLE public.event (
  id bigint NOT NULL, day date NOT NULL, region text NOT NULL, account int NOT NULL, note text,
  PRIMARY KEY (id, day, region)
) PARTITION BY RANGE (day);
CREATE TABLE public.event_2025 PARTITION OF public.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
  PARTITION BY LIST (region);
CREATE TABLE public.event_2025_eu PARTITION OF public.event_2025 FOR VALUES IN ('eu');
CREATE TABLE public.event_2025_us PARTITION OF public.event_2025 FOR VALUES IN ('us');
CREATE TABLE "Odd Schema".event_2026 PARTITION OF public.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
ALTER TABLE public.event ADD CONSTRAINT event_account FOREIGN KEY (account) REFERENCES public.account;
CREATE INDEX event_note_idx ON public.event (note);
ALTER INDEX public.event_2025_eu_note_idx RENAME TO "renamed by hand";
CREATE INDEX event_us_only ON public.event_2025_us (note, region);

CREATE TABLE public.event_tag (
  event bigint, day date, region text, tag text,
  CONSTRAINT event_tag_event FOREIGN KEY (event, day, region) REFERENCES public.event (id, day, region)
);
CREATE TABLE public.stay (
  account int, day date, CONSTRAINT stay_account FOREIGN KEY (account) REFERENCES public.account
) PARTITION BY RANGE (day);
CREATE TABLE public.stay_old (
  day date, account int, CONSTRAINT "Own" FOREIGN KEY (account) REFERENCES public.account
) PARTITION BY LIST (account);
CREATE TABLE public.stay_oldest PARTITION OF public.stay_old DEFAULT;
ALTER TABLE public.stay ATTACH PARTITION public.stay_old FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
COMMENT ON CONSTRAINT "Own" ON public.stay_old IS 'its own';
CREATE INDEX stay_oldest_day ON public.stay_oldest (day);
ALTER INDEX public.stay_oldest_day DEPENDS ON EXTENSION citext;
CREATE TABLE public.late (account int);
ALTER TABLE public.late ADD CONSTRAINT late_account FOREIGN KEY (account) REFERENCES public.account NOT VALID;

CREATE TABLE public.booking (
  room int, during tsrange, EXCLUDE USING gist (during WITH &&)
);
CREATE TABLE public.base (a int);
CREATE TABLE public.derived () INHERITS (public.base);
CREATE UNLOGGED TABLE public.scratch (a int);
CREATE VIEW public.logins AS SELECT login FROM public.account;
CREATE MATERIALIZED VIEW public.moods AS SELECT mood FROM "Odd Schema"."Wei""rd Table";

CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER account_touch BEFORE INSERT ON public.account FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER "Account Always" BEFORE INSERT ON public.account FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER account_replica BEFORE INSERT ON public.account FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER account_off BEFORE INSERT ON public.account FOR EACH ROW EXECUTE FUNCTION public.touch();
ALTER TABLE public.account ENABLE ALWAYS TRIGGER "Account Always";
ALTER TABLE public.account ENABLE REPLICA TRIGGER account_replica;
ALTER TABLE public.account DISABLE TRIGGER account_off;
CREATE TRIGGER event_touch BEFORE INSERT ON public.event FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TRIGGER event_off BEFORE INSERT ON public.event FOR EACH ROW EXECUTE FUNCTION public.touch();
ALTER TABLE public.event_2025_us DISABLE TRIGGER event_touch;
ALTER TABLE ONLY public.event DISABLE TRIGGER event_off;

INSERT INTO public.account (login) VALUES ('a'), ('b');

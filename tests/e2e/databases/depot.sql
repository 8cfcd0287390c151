-- A depot without cycles, for constraints that stay in force: parents of parents, a partitioned table that has no partition,
-- a sequence that two tables share, and triggers that tell when they fire.
CREATE TABLE region (region_id integer PRIMARY KEY, title text NOT NULL);
CREATE TABLE depot (
  depot_id uuid PRIMARY KEY,
  region_id integer NOT NULL REFERENCES region,
  manager text NOT NULL
);
CREATE TABLE season (season_id integer PRIMARY KEY, title text) PARTITION BY RANGE (season_id);
CREATE SEQUENCE document_number;
CREATE TABLE sale (
  document bigint PRIMARY KEY DEFAULT nextval('document_number'),
  depot_id uuid NOT NULL REFERENCES depot,
  season_id integer REFERENCES season,
  buyer text NOT NULL,
  amount numeric(10,2) NOT NULL
);
CREATE INDEX sale_depot_idx ON sale (depot_id);
CREATE TABLE refund (
  document bigint PRIMARY KEY DEFAULT nextval('document_number'),
  sale bigint NOT NULL REFERENCES sale,
  reason text
);
CREATE TABLE fired (what text NOT NULL);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN INSERT INTO fired VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NEW; END $$;
INSERT INTO region VALUES (7, 'left over from an earlier environment');
CREATE TRIGGER region_truncated AFTER TRUNCATE ON region FOR EACH STATEMENT EXECUTE FUNCTION tell();
CREATE TRIGGER sale_made BEFORE INSERT ON sale FOR EACH ROW EXECUTE FUNCTION tell();

-- A sports club that there is not: members whose columns depend on each other, and their visits.
CREATE TABLE public.member (
    member_id integer PRIMARY KEY,
    email text NOT NULL,
    plan text NOT NULL,
    region text NOT NULL,
    age integer,
    joined date NOT NULL,
    spent numeric(9,2) NOT NULL
);
CREATE TABLE public.visit (
    visit_id integer PRIMARY KEY,
    member_id integer NOT NULL REFERENCES public.member,
    day date NOT NULL,
    room text NOT NULL,
    minutes integer NOT NULL
);

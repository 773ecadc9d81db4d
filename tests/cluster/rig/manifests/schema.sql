-- The application's tables, with enough rows that a dump, a count and a lock mean something.
CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE workflows (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id bigint NOT NULL REFERENCES users (id),
    name text NOT NULL,
    definition jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id bigint NOT NULL REFERENCES workflows (id),
    state text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
CREATE INDEX runs_by_workflow ON runs (workflow_id, started_at);
CREATE TABLE accounts (
    id integer PRIMARY KEY,
    balance numeric(12, 2) NOT NULL
);

INSERT INTO users (email)
SELECT format('user%s@workflow.example.com', n) FROM generate_series(1, 500) AS n;
INSERT INTO workflows (owner_id, name, definition)
SELECT 1 + n % 500, format('workflow %s', n), jsonb_build_object('steps', n % 7) FROM generate_series(1, 1000) AS n;
INSERT INTO runs (workflow_id, state, started_at, finished_at)
SELECT 1 + n % 1000,
       (ARRAY['done', 'done', 'done', 'failed', 'running'])[1 + n % 5],
       now() - n * interval '20 seconds',
       CASE WHEN n % 5 < 4 THEN now() - n * interval '20 seconds' + interval '9 seconds' END
FROM generate_series(1, 10000) AS n;
INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 20) AS n;

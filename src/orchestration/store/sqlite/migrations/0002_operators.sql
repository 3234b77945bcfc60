-- What operators do to steps is told in the history, with the results that were there before: the list of kinds is
-- part of the table, so the table is made anew.
CREATE TABLE postroom_history_2 (
    id         INTEGER PRIMARY KEY,
    task_id    INTEGER NOT NULL REFERENCES postroom_tasks (id),
    at         INTEGER NOT NULL,
    run        INTEGER NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('task_state', 'attempt', 'stale', 'lease_lost', 'operator')),
    step       INTEGER,
    attempt    INTEGER,
    epoch      INTEGER,
    from_state TEXT,
    to_state   TEXT,
    process    BLOB,
    detail     TEXT,
    result     TEXT
) STRICT;

INSERT INTO postroom_history_2
    (id, task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail)
SELECT id, task_id, at, run, kind, step, attempt, epoch, from_state, to_state, process, detail
FROM postroom_history;
DROP TABLE postroom_history;
ALTER TABLE postroom_history_2 RENAME TO postroom_history;
CREATE INDEX postroom_history_task ON postroom_history (task_id, id);

ALTER TABLE postroom_tasks ADD COLUMN failure_policy TEXT NOT NULL DEFAULT 'continue'
    CHECK (failure_policy IN ('continue', 'fail_fast'));

-- Which tasks a process serves; empty: all.
ALTER TABLE postroom_processes ADD COLUMN serves TEXT NOT NULL DEFAULT '[]';

-- Dead letters, the latest first.
CREATE INDEX postroom_steps_failed ON postroom_steps (ended_at, task_id, idx) WHERE state = 'failed';

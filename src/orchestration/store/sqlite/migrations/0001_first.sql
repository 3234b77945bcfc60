-- Tasks. What never changes and may be large (template, input) lives apart, so that the row that changes with
-- every step stays small. The counters are kept by every change of a step, in the same commit.
CREATE TABLE postroom_tasks (
    id               INTEGER PRIMARY KEY,
    uuid             BLOB    NOT NULL UNIQUE,
    identity         BLOB    NOT NULL UNIQUE,
    content          BLOB    NOT NULL,
    namespace        TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    version          TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'waiting', 'blocked', 'paused',
                                 'complete', 'failed', 'cancelled', 'resolved_manually')),
    reason           TEXT,
    run              INTEGER NOT NULL,
    priority         INTEGER NOT NULL,
    correlation_id   BLOB    NOT NULL,
    submitted_by     BLOB    NOT NULL,
    -- The process that moved the task last: for audit, never a condition.
    owner            BLOB,
    steps_total      INTEGER NOT NULL,
    steps_pending    INTEGER NOT NULL,
    steps_ready      INTEGER NOT NULL,
    steps_running    INTEGER NOT NULL,
    steps_retry_wait INTEGER NOT NULL,
    steps_satisfied  INTEGER NOT NULL,
    steps_failed     INTEGER NOT NULL,
    steps_cancelled  INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    ended_at         INTEGER
) STRICT;

CREATE INDEX postroom_tasks_content ON postroom_tasks (content);
CREATE INDEX postroom_tasks_template ON postroom_tasks (namespace, name);
CREATE INDEX postroom_tasks_blocked ON postroom_tasks (id) WHERE state = 'blocked';

CREATE TABLE postroom_definitions (
    task_id  INTEGER PRIMARY KEY REFERENCES postroom_tasks (id),
    template TEXT    NOT NULL,
    input    TEXT    NOT NULL
) STRICT;

CREATE TABLE postroom_steps (
    task_id      INTEGER NOT NULL REFERENCES postroom_tasks (id),
    idx          INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    callable     TEXT    NOT NULL,
    -- The task's, here for the index.
    priority     INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'ready', 'running', 'retry_wait', 'complete',
                             'failed', 'skipped', 'cancelled', 'resolved_manually')),
    parents      INTEGER NOT NULL,
    unmet        INTEGER NOT NULL CHECK (unmet BETWEEN 0 AND parents),
    attempts     INTEGER NOT NULL CHECK (attempts BETWEEN 0 AND max_attempts),
    max_attempts INTEGER NOT NULL,
    lost_leases  INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    owner        BLOB,
    lease_until  INTEGER,
    due_at       INTEGER,
    started_at   INTEGER,
    ended_at     INTEGER,
    error        TEXT,
    result       TEXT,
    PRIMARY KEY (task_id, idx)
) STRICT, WITHOUT ROWID;

-- Live rows alone are indexed: what is finished costs nothing.
CREATE INDEX postroom_steps_ready ON postroom_steps (callable, priority DESC, task_id, idx)
    WHERE state = 'ready';
CREATE INDEX postroom_steps_retry_wait ON postroom_steps (callable, due_at, priority, task_id, idx)
    WHERE state = 'retry_wait';
CREATE INDEX postroom_steps_running ON postroom_steps (lease_until, owner, task_id, idx)
    WHERE state = 'running';

CREATE TABLE postroom_edges (
    task_id INTEGER NOT NULL REFERENCES postroom_tasks (id),
    parent  INTEGER NOT NULL,
    child   INTEGER NOT NULL,
    PRIMARY KEY (task_id, parent, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX postroom_edges_child ON postroom_edges (task_id, child, parent);

CREATE TABLE postroom_history (
    id         INTEGER PRIMARY KEY,
    task_id    INTEGER NOT NULL REFERENCES postroom_tasks (id),
    at         INTEGER NOT NULL,
    run        INTEGER NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('task_state', 'attempt', 'stale', 'lease_lost')),
    step       INTEGER,
    attempt    INTEGER,
    epoch      INTEGER,
    from_state TEXT,
    to_state   TEXT,
    process    BLOB,
    detail     TEXT
) STRICT;

CREATE INDEX postroom_history_task ON postroom_history (task_id, id);

CREATE TABLE postroom_processes (
    process   BLOB    PRIMARY KEY,
    host      TEXT    NOT NULL,
    pid       INTEGER NOT NULL,
    pid_birth TEXT    NOT NULL,
    callables TEXT    NOT NULL,
    only_task BLOB,
    heard_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

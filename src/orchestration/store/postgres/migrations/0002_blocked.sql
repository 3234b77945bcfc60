-- A column that an index names in its condition is indexed: with `state` there, every move of a task wrote to all
-- indexes of the table. This column changes with few moves.
DROP INDEX postroom.tasks_blocked;
ALTER TABLE postroom.tasks
    ADD COLUMN blocked boolean NOT NULL GENERATED ALWAYS AS (state = 'blocked') STORED;
CREATE INDEX tasks_blocked ON postroom.tasks (id) WHERE blocked;

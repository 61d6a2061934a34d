-- What a job says about failures, frames held for a look, nodes in quarantine.

-- -1: the farm's own.
ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT -1;
ALTER TABLE job ADD COLUMN fail_pct INTEGER NOT NULL DEFAULT -1;
ALTER TABLE job ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

ALTER TABLE task ADD COLUMN blank TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN review TEXT NOT NULL DEFAULT '' CHECK (review IN ('', 'held', 'accepted'));
-- Attempts up to this one do not count any more: a person asked for the task again.
ALTER TABLE task ADD COLUMN void_up_to INTEGER NOT NULL DEFAULT 0;
CREATE INDEX task_held ON task (job, number) WHERE review = 'held';

ALTER TABLE result ADD COLUMN blank TEXT NOT NULL DEFAULT '';

ALTER TABLE node ADD COLUMN quarantine TEXT NOT NULL DEFAULT '';  -- why; '' = it gets work
ALTER TABLE node ADD COLUMN quarantine_until_ms INTEGER NOT NULL DEFAULT 0;

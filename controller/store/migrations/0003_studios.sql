-- Jobs of steps from a template, their place in a production, what people wish of jobs, nodes and the farm, and
-- where the time goes.

ALTER TABLE job ADD COLUMN type TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN document TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN steps TEXT NOT NULL DEFAULT '';  -- JSON; '' = no template
ALTER TABLE job ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN sequence TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN shot TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN wishes TEXT NOT NULL DEFAULT '';  -- JSON; '' = none
-- Seconds that brought nothing.
ALTER TABLE job ADD COLUMN failed_s REAL NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN lost_s REAL NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN superseded_s REAL NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN step_counts TEXT NOT NULL DEFAULT '';  -- JSON, as many as steps
ALTER TABLE job ADD COLUMN limits TEXT NOT NULL DEFAULT '';  -- JSON: counted limits of a job without a template
-- Each ends in the number: a list of a project, a sequence or a shot is newest first without sorting.
CREATE INDEX job_by_project ON job (project);
CREATE INDEX job_by_sequence ON job (project, sequence);
CREATE INDEX job_by_shot ON job (project, sequence, shot);

-- Of a step that cuts its tasks as they are handed out. 0, 0: the step's own chunks.
ALTER TABLE task ADD COLUMN first_unit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN unit_count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE node ADD COLUMN settings TEXT NOT NULL DEFAULT '';  -- JSON; '' = nobody set any
ALTER TABLE node ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;
-- What its slots did since it is known, in seconds.
ALTER TABLE node ADD COLUMN online_s REAL NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN busy_s REAL NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN done_s REAL NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN failed_s REAL NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN lost_s REAL NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN superseded_s REAL NOT NULL DEFAULT 0;

ALTER TABLE farm ADD COLUMN fair_share INTEGER NOT NULL DEFAULT 0;
CREATE TABLE counted_limit (
  name  TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The same by the hour. It outlives its node: the farm's past stays what it was.
CREATE TABLE usage (
  hour_ms      INTEGER NOT NULL,
  node         TEXT NOT NULL,
  online_s     REAL NOT NULL,
  busy_s       REAL NOT NULL,
  done_s       REAL NOT NULL,
  failed_s     REAL NOT NULL,
  lost_s       REAL NOT NULL,
  superseded_s REAL NOT NULL,
  PRIMARY KEY (hour_ms, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_of_node ON usage (node, hour_ms);

-- Renderers that people put on the controller for nodes to fetch, and which of them a job needs.

CREATE TABLE renderer (
  name           TEXT PRIMARY KEY,  -- "blender-4.2.1"
  version        TEXT NOT NULL,
  digest         TEXT NOT NULL,  -- of the archive, a blob
  size           INTEGER NOT NULL,
  unpacked_bytes INTEGER NOT NULL,
  program        TEXT NOT NULL,  -- path in the archive
  file           TEXT NOT NULL,
  user           TEXT NOT NULL,
  added_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE job ADD COLUMN bundle TEXT NOT NULL DEFAULT '';  -- JSON, of a job without a template; '' = none

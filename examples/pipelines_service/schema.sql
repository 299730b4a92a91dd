-- The service's own tables. Its owner applies this file; `cupel migrate` then adds the isolation, for the
-- tables that cupel.toml declares.
--
-- What isolation asks of a table: org_id, NOT NULL, first in every key and index; and foreign keys that
-- carry it, so that no row can refer to another organization's.

CREATE TABLE IF NOT EXISTS pipelines (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  PRIMARY KEY (org_id, id)
);

-- One sealed secret per pipeline. What is in `sealed` opens with the organization's key only, and only
-- for the pipeline it was sealed for.
CREATE TABLE IF NOT EXISTS connector_credentials (
  org_id text COLLATE "C" NOT NULL,
  pipeline_id text NOT NULL,
  sealed bytea NOT NULL,
  PRIMARY KEY (org_id, pipeline_id),
  FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines (org_id, id) ON DELETE CASCADE
);

CREATE TABLE IF NOT EXISTS pipeline_runs (
  org_id text COLLATE "C" NOT NULL,
  pipeline_id text NOT NULL,
  id text NOT NULL,
  workspace_id text COLLATE "C",
  state text NOT NULL DEFAULT 'started' CHECK (state IN ('started', 'done', 'failed')),
  PRIMARY KEY (org_id, pipeline_id, id),
  FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines (org_id, id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS pipeline_runs_by_workspace ON pipeline_runs (org_id, workspace_id);

-- What the sources of pipelines look like. Read often, so cached.
CREATE TABLE IF NOT EXISTS source_schemas (
  org_id text COLLATE "C" NOT NULL,
  name text NOT NULL,
  columns text[] NOT NULL,
  PRIMARY KEY (org_id, name)
);

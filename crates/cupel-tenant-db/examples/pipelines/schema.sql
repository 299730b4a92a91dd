-- The tables of the worked example: a service that runs data pipelines.
--
-- The service's owner applies this before the migration, which adds the isolation. What isolation asks
-- of it: org_id in every table of an organization, NOT NULL and first in every key and index, and
-- foreign keys that carry it, so that no row can refer to another organization's.

CREATE TABLE IF NOT EXISTS pipelines (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  schedule text,
  created timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id)
);

CREATE TABLE IF NOT EXISTS pipeline_runs (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  workspace_id text COLLATE "C",
  pipeline_id text NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
  rows_read bigint NOT NULL DEFAULT 0,
  started timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines (org_id, id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS pipeline_runs_by_pipeline ON pipeline_runs (org_id, pipeline_id, started);
CREATE INDEX IF NOT EXISTS pipeline_runs_by_workspace ON pipeline_runs (org_id, workspace_id, started);

CREATE TABLE IF NOT EXISTS quality_results (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  workspace_id text COLLATE "C",
  run_id text NOT NULL,
  rule text NOT NULL,
  passed boolean NOT NULL,
  checked timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (org_id, id),
  FOREIGN KEY (org_id, run_id) REFERENCES pipeline_runs (org_id, id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS quality_results_by_run ON quality_results (org_id, run_id);

-- Shared by an organization with all its workspaces.
CREATE TABLE IF NOT EXISTS component_libraries (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  version text NOT NULL DEFAULT '1',
  PRIMARY KEY (org_id, id)
);

CREATE TABLE IF NOT EXISTS data_products (
  org_id text COLLATE "C" NOT NULL,
  id text NOT NULL,
  name text NOT NULL,
  library_id text,
  PRIMARY KEY (org_id, id),
  FOREIGN KEY (org_id, library_id) REFERENCES component_libraries (org_id, id)
);
CREATE INDEX IF NOT EXISTS data_products_by_library ON data_products (org_id, library_id);

-- Finding jobs by tag, by time and by state without going through the table.

-- A JSON array, NULL for none. The table job_tags is its index.
ALTER TABLE jobs ADD COLUMN tags TEXT;

-- 1 when the id is of version 7 and its time is that of created_at, give or take a second: then a range of times
-- is a range of ids. It holds for nearly all jobs and costs nothing; the others have an index. Of the jobs that
-- were here before, nothing is known.
ALTER TABLE jobs ADD COLUMN dated INTEGER NOT NULL DEFAULT 0;

CREATE TABLE job_tags (
    tag TEXT NOT NULL,
    id  BLOB NOT NULL,
    PRIMARY KEY (tag, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_tags_go AFTER DELETE ON jobs WHEN old.tags IS NOT NULL BEGIN
    DELETE FROM job_tags WHERE id = old.id AND tag IN (SELECT value FROM json_each(old.tags));
END;

-- Lists go from the newest id down. These are the states that are rare among many jobs and that people look for.
-- Each condition costs a little at every write, so there are no more of them.
CREATE INDEX jobs_undated ON jobs (id, created_at) WHERE dated = 0;
CREATE INDEX jobs_dead_ids ON jobs (id) WHERE state = 'dead';
CREATE INDEX jobs_waiting_ids ON jobs (id) WHERE state = 'scheduled' OR state = 'retrying';

DROP VIEW job_list;
CREATE VIEW job_list AS SELECT
    substr(lower(hex(id)), 1, 8) || '-' || substr(lower(hex(id)), 9, 4) || '-' || substr(lower(hex(id)), 13, 4)
        || '-' || substr(lower(hex(id)), 17, 4) || '-' || substr(lower(hex(id)), 21) AS id,
    queue, task, state, priority, failed_attempts, crashes, tags,
    datetime(created_at / 1000000, 'unixepoch') AS created,
    datetime(run_at / 1000000, 'unixepoch') AS due,
    datetime(started_at / 1000000, 'unixepoch') AS started,
    datetime(finished_at / 1000000, 'unixepoch') AS finished,
    reason, note, json_extract(errors, '$[#-1].message') AS last_error,
    CAST(result AS TEXT) AS result, CAST(body AS TEXT) AS body
FROM jobs;

-- Bodies that are too large for the broker beside this store. Their names sort by their age.
CREATE TABLE blobs (
    id   TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

-- What proves that the journal was not changed: for each book a Merkle tree (RFC 6962) over the leaf hashes of its journal
-- rows, leaf n - 1 being the row of sequence n, and the signed heads of that tree. Written by the sealer, one second or
-- 10,000 rows behind the journal. Append-only for everybody.

-- Hashes of complete subtrees: node_index is the place among the subtrees of 2^level leaves. Only every eighth level is
-- kept (8, 16, …): what lies between is the work of at most 255 hashes, and level 0 is transfer.leaf_hash.
CREATE TABLE tree_node (
    book_id    bigint   NOT NULL,
    level      smallint NOT NULL,
    node_index bigint   NOT NULL,
    hash       bytea    NOT NULL,
    CONSTRAINT tree_node_pkey PRIMARY KEY (book_id, level, node_index),
    CONSTRAINT tree_node_level CHECK (level > 0 AND level % 8 = 0 AND node_index >= 0),
    CONSTRAINT tree_node_hash CHECK (octet_length(hash) = 32)
);

CREATE TABLE tree_head (
    book_id       bigint NOT NULL,
    size          bigint NOT NULL, -- over the rows 1 to size
    root          bytea  NOT NULL,
    previous_size bigint NOT NULL, -- of the head before; 0 for the first
    previous_root bytea  NOT NULL,
    time_us       bigint NOT NULL,
    key_id        bytea  NOT NULL,
    signature     bytea  NOT NULL,
    -- One root for one size, and one successor for each head, however many sealers there are: the heads of a book are a line.
    CONSTRAINT tree_head_pkey PRIMARY KEY (book_id, size),
    CONSTRAINT tree_head_previous_key UNIQUE (book_id, previous_size),
    CONSTRAINT tree_head_grows CHECK (size > previous_size AND previous_size >= 0),
    CONSTRAINT tree_head_sizes CHECK (octet_length(root) = 32 AND octet_length(previous_root) = 32
        AND octet_length(key_id) = 32 AND octet_length(signature) = 64)
);

-- The sealer reads the journal and adds to the tree; it can write nothing else. Nobody changes or deletes.
REVOKE ALL ON tree_node, tree_head FROM PUBLIC;
GRANT SELECT, INSERT ON tree_node, tree_head TO ledger_sealer;
GRANT SELECT (book_id, sequence) ON book_head TO ledger_sealer;
GRANT SELECT (book_id, sequence, leaf_hash) ON transfer TO ledger_sealer;
GRANT SELECT ON tree_node, tree_head TO ledger_service, ledger_auditor;
GRANT SELECT ON schema_migration TO ledger_auditor;

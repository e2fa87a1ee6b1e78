-- The ledger. Rules of the schema:
--   * book_id comes first in every key and stands in every WHERE: the book is what a distributed database shards by.
--   * Nothing here makes ids or times: the service does, and passes them as parameters.
--   * Times are microseconds since 1970-01-01T00:00:00Z; amounts are minor units.
--   * transfer, burned_transfer, account (but for its balances) and book are append-only: by the grants at the end.

CREATE TABLE book (
    book_id    bigint NOT NULL,
    name       text   NOT NULL,
    created_us bigint NOT NULL,
    CONSTRAINT book_pkey PRIMARY KEY (book_id),
    CONSTRAINT book_id_positive CHECK (book_id > 0),
    CONSTRAINT book_name_size CHECK (octet_length(name) BETWEEN 1 AND 200)
);

-- Where a book's journal ends. The row is the one lock of the commit path. It is rewritten with each commit: the free space
-- of its page keeps the versions together.
CREATE TABLE book_head (
    book_id         bigint NOT NULL,
    sequence        bigint NOT NULL, -- of the last journal row
    timestamp_us    bigint NOT NULL, -- of the last object of the book, of any kind
    next_expires_us bigint NOT NULL, -- no open pending transfer expires before this
    checkpoint_sequence bigint NOT NULL, -- account rows and postings say how the book stood after this row
    burned_ids      bigint NOT NULL, -- rows in burned_transfer
    CONSTRAINT book_head_pkey PRIMARY KEY (book_id),
    CONSTRAINT book_head_positive CHECK (sequence >= 0 AND timestamp_us >= 0 AND burned_ids >= 0),
    CONSTRAINT book_head_checkpoint CHECK (checkpoint_sequence BETWEEN 0 AND sequence)
) WITH (fillfactor = 20);

-- Balances and state are as of the head's checkpoint: what came after it is in the journal only, until the next one.
CREATE TABLE account (
    book_id         bigint   NOT NULL,
    account_id      uuid     NOT NULL,
    timestamp_us    bigint   NOT NULL,
    debits_pending  bigint   NOT NULL,
    debits_posted   bigint   NOT NULL,
    credits_pending bigint   NOT NULL,
    credits_posted  bigint   NOT NULL,
    state           smallint NOT NULL, -- bits: 1 closed now, 2 beyond its limit by a forced reversal
    code            integer  NOT NULL,
    flags           smallint NOT NULL, -- bits of AccountFlag, as asked for
    currency        text     NOT NULL, -- ISO 4217
    -- Absent means none, and costs nothing.
    lowest_balance  bigint,            -- the credit line, negative
    user_data_128   uuid,
    user_data_64    bigint,            -- the bits of an unsigned number
    user_data_32    integer,           -- the bits of an unsigned number
    effective_us    bigint,            -- of an imported account: when it was made elsewhere
    external_reference text,
    metadata        bytea,             -- entries sorted by key: length of key (1 byte), key, length of value (2, big-endian), value
    CONSTRAINT account_pkey PRIMARY KEY (book_id, account_id),
    CONSTRAINT account_not_negative CHECK (
        debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0),
    -- NO-OVERDRAFT, held by the database whatever the service believes. Only a forced reversal sets bit 2 of state.
    CONSTRAINT account_debits_limit CHECK (
        flags & 2 = 0 OR state & 2 <> 0
        OR debits_pending + debits_posted - credits_posted <= - coalesce(lowest_balance, 0)),
    CONSTRAINT account_credits_limit CHECK (
        flags & 4 = 0 OR state & 2 <> 0 OR credits_pending + credits_posted - debits_posted <= 0),
    CONSTRAINT account_lowest_balance CHECK (
        lowest_balance IS NULL OR flags & 2 <> 0 AND lowest_balance BETWEEN -9223372036854775807 AND -1),
    CONSTRAINT account_code CHECK (code BETWEEN 1 AND 65535),
    CONSTRAINT account_currency CHECK (octet_length(currency) = 3),
    CONSTRAINT account_imported CHECK ((effective_us IS NULL) = (flags & 16 = 0) AND effective_us < timestamp_us),
    CONSTRAINT account_external_reference CHECK (octet_length(external_reference) BETWEEN 1 AND 128)
) WITH (fillfactor = 50); -- balances change all the time: room for the new version on the same page

CREATE UNIQUE INDEX account_external_reference_key ON account (book_id, external_reference)
    WHERE external_reference IS NOT NULL;
-- The order in which accounts are listed. Every object's time is unique in its book.
CREATE UNIQUE INDEX account_timestamp_key ON account (book_id, timestamp_us);

-- What account.metadata says, to be searched in the order of lists.
CREATE TABLE account_metadata (
    book_id      bigint NOT NULL,
    key          text   NOT NULL,
    value        text   NOT NULL,
    timestamp_us bigint NOT NULL, -- the account's
    CONSTRAINT account_metadata_pkey PRIMARY KEY (book_id, key, value, timestamp_us)
);
CREATE INDEX account_metadata_key_idx ON account_metadata (book_id, key, timestamp_us);

-- The journal. kind: 1 single-phase, 2 pending, 3 post, 4 void, 5 expire (written by the ledger itself; has no id).
CREATE TABLE transfer (
    book_id           bigint   NOT NULL,
    sequence          bigint   NOT NULL, -- gapless from 1
    timestamp_us      bigint   NOT NULL,
    transfer_id       uuid,
    debit_account_id  uuid     NOT NULL,
    credit_account_id uuid     NOT NULL,
    amount            bigint   NOT NULL,
    -- Both accounts right after this row.
    debit_debits_pending   bigint NOT NULL,
    debit_debits_posted    bigint NOT NULL,
    debit_credits_pending  bigint NOT NULL,
    debit_credits_posted   bigint NOT NULL,
    credit_debits_pending  bigint NOT NULL,
    credit_debits_posted   bigint NOT NULL,
    credit_credits_pending bigint NOT NULL,
    credit_credits_posted  bigint NOT NULL,
    code              integer  NOT NULL,
    kind              smallint NOT NULL,
    flags             smallint NOT NULL, -- bits of TransferFlag
    currency          text     NOT NULL,
    -- Absent means none, and costs nothing.
    pending_id        uuid,              -- of a post, void or expire: what it ends
    released          bigint,            -- of the same: the amount that had been reserved
    expires_us        bigint,            -- of a pending with a timeout
    timeout_s         bigint,
    user_data_128     uuid,
    user_data_64      bigint,
    user_data_32      integer,
    effective_us      bigint,            -- of an imported transfer: when it took effect
    states            smallint,          -- account.state right after this row: of the debit account + 16 * of the credit account
    reverses_id       uuid,              -- of a reversal: what it takes back
    external_reference text,
    metadata          bytea,             -- as in account
    leaf_hash         bytea    NOT NULL, -- SHA-256 of the row's canonical form: its leaf in the book's Merkle tree
    CONSTRAINT transfer_pkey PRIMARY KEY (book_id, sequence),
    CONSTRAINT transfer_amount CHECK (amount >= 0),
    CONSTRAINT transfer_accounts CHECK (debit_account_id <> credit_account_id),
    CONSTRAINT transfer_kind CHECK (kind BETWEEN 1 AND 5),
    CONSTRAINT transfer_has_id CHECK ((transfer_id IS NULL) = (kind = 5)),
    CONSTRAINT transfer_ends_pending CHECK ((pending_id IS NULL) = (kind < 3) AND (released IS NULL) = (kind < 3)),
    CONSTRAINT transfer_at_most_reserved CHECK (released IS NULL OR amount <= released),
    CONSTRAINT transfer_expires CHECK (expires_us IS NULL OR kind = 2),
    CONSTRAINT transfer_reverses CHECK (reverses_id IS NULL OR kind = 1),
    CONSTRAINT transfer_imported CHECK ((effective_us IS NULL) = (flags & 256 = 0) AND effective_us < timestamp_us),
    CONSTRAINT transfer_external_reference CHECK (octet_length(external_reference) BETWEEN 1 AND 128),
    CONSTRAINT transfer_leaf_hash CHECK (octet_length(leaf_hash) = 32)
);

-- NO-DOUBLE: an id is used once, for ever.
CREATE UNIQUE INDEX transfer_id_key ON transfer (book_id, transfer_id);
-- A pending transfer ends once: posted, voided or expired.
CREATE UNIQUE INDEX transfer_pending_key ON transfer (book_id, pending_id) WHERE pending_id IS NOT NULL;
-- A transfer is reversed once.
CREATE UNIQUE INDEX transfer_reverses_key ON transfer (book_id, reverses_id) WHERE reverses_id IS NOT NULL;
-- Not unique: a caller's name for something that may take several transfers.
CREATE INDEX transfer_external_reference_idx ON transfer (book_id, external_reference, sequence)
    WHERE external_reference IS NOT NULL;
-- What may have to be released by the clock.
CREATE INDEX transfer_expires_idx ON transfer (book_id, expires_us) WHERE expires_us IS NOT NULL;
-- Backdated entries of an account, in the order in which they took effect.
CREATE INDEX transfer_backdated_debit_idx ON transfer (book_id, debit_account_id, effective_us, sequence)
    WHERE effective_us IS NOT NULL;
CREATE INDEX transfer_backdated_credit_idx ON transfer (book_id, credit_account_id, effective_us, sequence)
    WHERE effective_us IS NOT NULL;

-- Which journal rows name an account: one row for each account that a checkpoint finds touched, instead of two index entries
-- for each journal row. Complete up to the head's checkpoint.
CREATE TABLE posting (
    book_id        bigint NOT NULL,
    account_id     uuid   NOT NULL,
    last_sequence  bigint NOT NULL,
    first_sequence bigint NOT NULL,
    entries        bytea  NOT NULL, -- for each entry 4 bytes, big-endian: its sequence minus first_sequence, ascending
    CONSTRAINT posting_pkey PRIMARY KEY (book_id, account_id, last_sequence),
    CONSTRAINT posting_order CHECK (first_sequence BETWEEN 1 AND last_sequence),
    -- At most 480, so that no row is ever moved out of its page.
    CONSTRAINT posting_entries CHECK (octet_length(entries) BETWEEN 4 AND 1920 AND octet_length(entries) % 4 = 0)
);

-- What transfer.metadata says, to be searched.
CREATE TABLE transfer_metadata (
    book_id  bigint NOT NULL,
    key      text   NOT NULL,
    value    text   NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT transfer_metadata_pkey PRIMARY KEY (book_id, key, value, sequence)
);
CREATE INDEX transfer_metadata_key_idx ON transfer_metadata (book_id, key, sequence);

-- Ids that were refused for a reason that could pass. status: number of CreateTransferStatus.
CREATE TABLE burned_transfer (
    book_id      bigint   NOT NULL,
    transfer_id  uuid     NOT NULL,
    status       smallint NOT NULL,
    timestamp_us bigint   NOT NULL,
    CONSTRAINT burned_transfer_pkey PRIMARY KEY (book_id, transfer_id)
);
-- What was burned since one last looked.
CREATE INDEX burned_transfer_timestamp_idx ON burned_transfer (book_id, timestamp_us);

-- Least privilege. The service cannot change or delete a journal row, an account's nature, or a book.
REVOKE ALL ON book, book_head, account, account_metadata, transfer, posting, transfer_metadata, burned_transfer FROM PUBLIC;
GRANT SELECT, INSERT ON book, book_head, account, account_metadata, transfer, posting, transfer_metadata, burned_transfer
    TO ledger_service;
GRANT UPDATE (sequence, timestamp_us, next_expires_us, checkpoint_sequence, burned_ids) ON book_head TO ledger_service;
GRANT UPDATE (debits_pending, debits_posted, credits_pending, credits_posted, state) ON account TO ledger_service;
GRANT SELECT ON book, book_head, account, account_metadata, transfer, posting, transfer_metadata, burned_transfer TO ledger_auditor;

-- What migrations/ledger makes of an empty database: tables, indexes, and what each role may do. Written by `./dev docs`, for people
-- who read: do not edit, it is never run. Months of partitioned tables, which `payments-svc maintain` adds, are left out.

CREATE TABLE public.account (
    book_id bigint NOT NULL,
    account_id uuid NOT NULL,
    timestamp_us bigint NOT NULL,
    debits_pending bigint NOT NULL,
    debits_posted bigint NOT NULL,
    credits_pending bigint NOT NULL,
    credits_posted bigint NOT NULL,
    state smallint NOT NULL,
    code integer NOT NULL,
    flags smallint NOT NULL,
    currency text NOT NULL,
    lowest_balance bigint,
    user_data_128 uuid,
    user_data_64 bigint,
    user_data_32 integer,
    effective_us bigint,
    external_reference text,
    metadata bytea,
    CONSTRAINT account_code CHECK (((code >= 1) AND (code <= 65535))),
    CONSTRAINT account_credits_limit CHECK (((((flags)::integer & 4) = 0) OR (((state)::integer & 2) <> 0) OR (((credits_pending + credits_posted) - debits_posted) <= 0))),
    CONSTRAINT account_currency CHECK ((octet_length(currency) = 3)),
    CONSTRAINT account_debits_limit CHECK (((((flags)::integer & 2) = 0) OR (((state)::integer & 2) <> 0) OR (((debits_pending + debits_posted) - credits_posted) <= (- COALESCE(lowest_balance, (0)::bigint))))),
    CONSTRAINT account_external_reference CHECK (((octet_length(external_reference) >= 1) AND (octet_length(external_reference) <= 128))),
    CONSTRAINT account_imported CHECK ((((effective_us IS NULL) = (((flags)::integer & 16) = 0)) AND (effective_us < timestamp_us))),
    CONSTRAINT account_lowest_balance CHECK (((lowest_balance IS NULL) OR ((((flags)::integer & 2) <> 0) AND ((lowest_balance >= '-9223372036854775807'::bigint) AND (lowest_balance <= '-1'::integer))))),
    CONSTRAINT account_not_negative CHECK (((debits_pending >= 0) AND (debits_posted >= 0) AND (credits_pending >= 0) AND (credits_posted >= 0)))
)
WITH (fillfactor='50');

CREATE TABLE public.account_metadata (
    book_id bigint NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    timestamp_us bigint NOT NULL
);

CREATE TABLE public.book (
    book_id bigint NOT NULL,
    name text NOT NULL,
    created_us bigint NOT NULL,
    CONSTRAINT book_id_positive CHECK ((book_id > 0)),
    CONSTRAINT book_name_size CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200)))
);

CREATE TABLE public.book_head (
    book_id bigint NOT NULL,
    sequence bigint NOT NULL,
    timestamp_us bigint NOT NULL,
    next_expires_us bigint NOT NULL,
    checkpoint_sequence bigint NOT NULL,
    burned_ids bigint NOT NULL,
    CONSTRAINT book_head_checkpoint CHECK (((checkpoint_sequence >= 0) AND (checkpoint_sequence <= sequence))),
    CONSTRAINT book_head_positive CHECK (((sequence >= 0) AND (timestamp_us >= 0) AND (burned_ids >= 0)))
)
WITH (fillfactor='20');

CREATE TABLE public.burned_transfer (
    book_id bigint NOT NULL,
    transfer_id uuid NOT NULL,
    status smallint NOT NULL,
    timestamp_us bigint NOT NULL
);

CREATE TABLE public.posting (
    book_id bigint NOT NULL,
    account_id uuid NOT NULL,
    last_sequence bigint NOT NULL,
    first_sequence bigint NOT NULL,
    entries bytea NOT NULL,
    CONSTRAINT posting_entries CHECK ((((octet_length(entries) >= 4) AND (octet_length(entries) <= 1920)) AND ((octet_length(entries) % 4) = 0))),
    CONSTRAINT posting_order CHECK (((first_sequence >= 1) AND (first_sequence <= last_sequence)))
);

CREATE TABLE public.schema_migration (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.transfer (
    book_id bigint NOT NULL,
    sequence bigint NOT NULL,
    timestamp_us bigint NOT NULL,
    transfer_id uuid,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    amount bigint NOT NULL,
    debit_debits_pending bigint NOT NULL,
    debit_debits_posted bigint NOT NULL,
    debit_credits_pending bigint NOT NULL,
    debit_credits_posted bigint NOT NULL,
    credit_debits_pending bigint NOT NULL,
    credit_debits_posted bigint NOT NULL,
    credit_credits_pending bigint NOT NULL,
    credit_credits_posted bigint NOT NULL,
    code integer NOT NULL,
    kind smallint NOT NULL,
    flags smallint NOT NULL,
    currency text NOT NULL,
    pending_id uuid,
    released bigint,
    expires_us bigint,
    timeout_s bigint,
    user_data_128 uuid,
    user_data_64 bigint,
    user_data_32 integer,
    effective_us bigint,
    states smallint,
    reverses_id uuid,
    external_reference text,
    metadata bytea,
    leaf_hash bytea NOT NULL,
    CONSTRAINT transfer_accounts CHECK ((debit_account_id <> credit_account_id)),
    CONSTRAINT transfer_amount CHECK ((amount >= 0)),
    CONSTRAINT transfer_at_most_reserved CHECK (((released IS NULL) OR (amount <= released))),
    CONSTRAINT transfer_ends_pending CHECK ((((pending_id IS NULL) = (kind < 3)) AND ((released IS NULL) = (kind < 3)))),
    CONSTRAINT transfer_expires CHECK (((expires_us IS NULL) OR (kind = 2))),
    CONSTRAINT transfer_external_reference CHECK (((octet_length(external_reference) >= 1) AND (octet_length(external_reference) <= 128))),
    CONSTRAINT transfer_has_id CHECK (((transfer_id IS NULL) = (kind = 5))),
    CONSTRAINT transfer_imported CHECK ((((effective_us IS NULL) = (((flags)::integer & 256) = 0)) AND (effective_us < timestamp_us))),
    CONSTRAINT transfer_kind CHECK (((kind >= 1) AND (kind <= 5))),
    CONSTRAINT transfer_leaf_hash CHECK ((octet_length(leaf_hash) = 32)),
    CONSTRAINT transfer_reverses CHECK (((reverses_id IS NULL) OR (kind = 1)))
);

CREATE TABLE public.transfer_metadata (
    book_id bigint NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE public.tree_head (
    book_id bigint NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    previous_size bigint NOT NULL,
    previous_root bytea NOT NULL,
    time_us bigint NOT NULL,
    key_id bytea NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT tree_head_grows CHECK (((size > previous_size) AND (previous_size >= 0))),
    CONSTRAINT tree_head_sizes CHECK (((octet_length(root) = 32) AND (octet_length(previous_root) = 32) AND (octet_length(key_id) = 32) AND (octet_length(signature) = 64)))
);

CREATE TABLE public.tree_node (
    book_id bigint NOT NULL,
    level smallint NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT tree_node_hash CHECK ((octet_length(hash) = 32)),
    CONSTRAINT tree_node_level CHECK (((level > 0) AND (((level)::integer % 8) = 0) AND (node_index >= 0)))
);

ALTER TABLE ONLY public.account_metadata
    ADD CONSTRAINT account_metadata_pkey PRIMARY KEY (book_id, key, value, timestamp_us);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (book_id, account_id);

ALTER TABLE ONLY public.book_head
    ADD CONSTRAINT book_head_pkey PRIMARY KEY (book_id);

ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (book_id);

ALTER TABLE ONLY public.burned_transfer
    ADD CONSTRAINT burned_transfer_pkey PRIMARY KEY (book_id, transfer_id);

ALTER TABLE ONLY public.posting
    ADD CONSTRAINT posting_pkey PRIMARY KEY (book_id, account_id, last_sequence);

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.transfer_metadata
    ADD CONSTRAINT transfer_metadata_pkey PRIMARY KEY (book_id, key, value, sequence);

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_pkey PRIMARY KEY (book_id, sequence);

ALTER TABLE ONLY public.tree_head
    ADD CONSTRAINT tree_head_pkey PRIMARY KEY (book_id, size);

ALTER TABLE ONLY public.tree_head
    ADD CONSTRAINT tree_head_previous_key UNIQUE (book_id, previous_size);

ALTER TABLE ONLY public.tree_node
    ADD CONSTRAINT tree_node_pkey PRIMARY KEY (book_id, level, node_index);

CREATE UNIQUE INDEX account_external_reference_key ON public.account USING btree (book_id, external_reference) WHERE (external_reference IS NOT NULL);

CREATE INDEX account_metadata_key_idx ON public.account_metadata USING btree (book_id, key, timestamp_us);

CREATE UNIQUE INDEX account_timestamp_key ON public.account USING btree (book_id, timestamp_us);

CREATE INDEX burned_transfer_timestamp_idx ON public.burned_transfer USING btree (book_id, timestamp_us);

CREATE INDEX transfer_backdated_credit_idx ON public.transfer USING btree (book_id, credit_account_id, effective_us, sequence) WHERE (effective_us IS NOT NULL);

CREATE INDEX transfer_backdated_debit_idx ON public.transfer USING btree (book_id, debit_account_id, effective_us, sequence) WHERE (effective_us IS NOT NULL);

CREATE INDEX transfer_expires_idx ON public.transfer USING btree (book_id, expires_us) WHERE (expires_us IS NOT NULL);

CREATE INDEX transfer_external_reference_idx ON public.transfer USING btree (book_id, external_reference, sequence) WHERE (external_reference IS NOT NULL);

CREATE UNIQUE INDEX transfer_id_key ON public.transfer USING btree (book_id, transfer_id);

CREATE INDEX transfer_metadata_key_idx ON public.transfer_metadata USING btree (book_id, key, sequence);

CREATE UNIQUE INDEX transfer_pending_key ON public.transfer USING btree (book_id, pending_id) WHERE (pending_id IS NOT NULL);

CREATE UNIQUE INDEX transfer_reverses_key ON public.transfer USING btree (book_id, reverses_id) WHERE (reverses_id IS NOT NULL);

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO ledger_migrator;
GRANT USAGE ON SCHEMA public TO ledger_service;
GRANT USAGE ON SCHEMA public TO ledger_sealer;
GRANT USAGE ON SCHEMA public TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.account TO ledger_service;
GRANT SELECT ON TABLE public.account TO ledger_auditor;

GRANT UPDATE(debits_pending) ON TABLE public.account TO ledger_service;

GRANT UPDATE(debits_posted) ON TABLE public.account TO ledger_service;

GRANT UPDATE(credits_pending) ON TABLE public.account TO ledger_service;

GRANT UPDATE(credits_posted) ON TABLE public.account TO ledger_service;

GRANT UPDATE(state) ON TABLE public.account TO ledger_service;

GRANT SELECT,INSERT ON TABLE public.account_metadata TO ledger_service;
GRANT SELECT ON TABLE public.account_metadata TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.book TO ledger_service;
GRANT SELECT ON TABLE public.book TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.book_head TO ledger_service;
GRANT SELECT ON TABLE public.book_head TO ledger_auditor;

GRANT SELECT(book_id) ON TABLE public.book_head TO ledger_sealer;

GRANT UPDATE(sequence) ON TABLE public.book_head TO ledger_service;
GRANT SELECT(sequence) ON TABLE public.book_head TO ledger_sealer;

GRANT UPDATE(timestamp_us) ON TABLE public.book_head TO ledger_service;

GRANT UPDATE(next_expires_us) ON TABLE public.book_head TO ledger_service;

GRANT UPDATE(checkpoint_sequence) ON TABLE public.book_head TO ledger_service;

GRANT UPDATE(burned_ids) ON TABLE public.book_head TO ledger_service;

GRANT SELECT,INSERT ON TABLE public.burned_transfer TO ledger_service;
GRANT SELECT ON TABLE public.burned_transfer TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.posting TO ledger_service;
GRANT SELECT ON TABLE public.posting TO ledger_auditor;

GRANT SELECT ON TABLE public.schema_migration TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.transfer TO ledger_service;
GRANT SELECT ON TABLE public.transfer TO ledger_auditor;

GRANT SELECT(book_id) ON TABLE public.transfer TO ledger_sealer;

GRANT SELECT(sequence) ON TABLE public.transfer TO ledger_sealer;

GRANT SELECT(leaf_hash) ON TABLE public.transfer TO ledger_sealer;

GRANT SELECT,INSERT ON TABLE public.transfer_metadata TO ledger_service;
GRANT SELECT ON TABLE public.transfer_metadata TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.tree_head TO ledger_sealer;
GRANT SELECT ON TABLE public.tree_head TO ledger_service;
GRANT SELECT ON TABLE public.tree_head TO ledger_auditor;

GRANT SELECT,INSERT ON TABLE public.tree_node TO ledger_sealer;
GRANT SELECT ON TABLE public.tree_node TO ledger_service;
GRANT SELECT ON TABLE public.tree_node TO ledger_auditor;

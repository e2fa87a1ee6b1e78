-- What migrations/payments makes of an empty database: tables, indexes, and what each role may do. Written by `./dev docs`, for people
-- who read: do not edit, it is never run. Months of partitioned tables, which `payments-svc maintain` adds, are left out.

CREATE FUNCTION public.keys_reseal(target text, book bigint, k1 text[], k2 text[], k3 text[], heads bytea[], fresh bytea[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    sealing text;
    mark bytea; -- an envelope under the rotation's key begins so
    n bigint;
BEGIN
    SELECT r.key_id INTO sealing FROM public.key_rotation AS r WHERE r.book_id = 0 AND r.state = 1;
    IF sealing IS NULL THEN
        RAISE EXCEPTION 'no rotation goes on' USING ERRCODE = 'insufficient_privilege';
    END IF;
    mark := set_byte('\x0100'::bytea, 1, octet_length(sealing)) || convert_to(sealing, 'UTF8');
    IF EXISTS (SELECT FROM unnest(heads, fresh) AS u(head, v) WHERE (
            octet_length(u.head) > 14 AND get_byte(u.head, 0) = 1 AND octet_length(u.head) = 14 + get_byte(u.head, 1)
            AND substring(u.head FROM 1 FOR octet_length(mark)) <> mark
            AND substring(u.v FROM 1 FOR octet_length(mark)) = mark AND octet_length(u.v) >= octet_length(mark) + 28) IS NOT TRUE) THEN
        RAISE EXCEPTION 'an envelope is not under the key of the rotation, or was so before' USING ERRCODE = 'insufficient_privilege';
    END IF;
    CASE target
    WHEN 'recipient name' THEN
        UPDATE public.recipient AS t SET name_sealed = u.v FROM unnest(k1, heads, fresh) AS u(k1, head, v)
            WHERE t.book_id = book AND t.recipient_id = u.k1::uuid AND substring(t.name_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.name_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'recipient account' THEN
        UPDATE public.recipient AS t SET account_sealed = u.v FROM unnest(k1, heads, fresh) AS u(k1, head, v)
            WHERE t.book_id = book AND t.recipient_id = u.k1::uuid AND substring(t.account_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.account_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'answer to a registration' THEN
        UPDATE public.idempotency AS t SET response = u.v FROM unnest(k1, k2, k3, heads, fresh) AS u(k1, k2, k3, head, v)
            WHERE t.book_id = book AND t.merchant_id = u.k1 AND t.operation = u.k2::smallint AND t.key = u.k3 AND t.operation = 2
            AND substring(t.response FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.response) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'submission' THEN
        UPDATE public.submission AS t SET content_sealed = u.v FROM unnest(k1, heads, fresh) AS u(k1, head, v)
            WHERE t.book_id = book AND t.submission_id = u.k1::uuid AND substring(t.content_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.content_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'inbox' THEN
        UPDATE public.inbox AS t SET content_sealed = u.v FROM unnest(k1, heads, fresh) AS u(k1, head, v)
            WHERE t.book_id = book AND t.inbox_id = u.k1::uuid AND substring(t.content_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.content_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'repaired inbox' THEN
        UPDATE public.inbox_version AS t SET content_sealed = u.v FROM unnest(k1, k2, heads, fresh) AS u(k1, k2, head, v)
            WHERE t.book_id = book AND t.inbox_id = u.k1::uuid AND t.version = u.k2::integer
            AND substring(t.content_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.content_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    WHEN 'exception' THEN
        UPDATE public.inbox_exception AS t SET raw_sealed = u.v FROM unnest(k1, k2, k3, heads, fresh) AS u(k1, k2, k3, head, v)
            WHERE t.book_id = book AND t.inbox_id = u.k1::uuid AND t.version = u.k2::integer AND t.line = u.k3::integer
            AND substring(t.raw_sealed FROM 1 FOR octet_length(u.head)) = u.head
            AND octet_length(t.raw_sealed) - octet_length(u.head) = octet_length(u.v) - octet_length(mark) - 12;
    ELSE
        RAISE EXCEPTION 'nothing is sealed anew there: %', target USING ERRCODE = 'invalid_parameter_value';
    END CASE;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;

CREATE TABLE public.archive (
    book_id bigint NOT NULL,
    archive_id uuid NOT NULL,
    kind text NOT NULL,
    file text NOT NULL,
    n_rows bigint NOT NULL,
    sha256 bytea NOT NULL,
    before timestamp with time zone NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT archive_n_rows_check CHECK ((n_rows > 0)),
    CONSTRAINT archive_sha256_check CHECK ((octet_length(sha256) = 32))
);

CREATE TABLE public.audit (
    book_id bigint NOT NULL,
    audit_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    method text NOT NULL,
    program text NOT NULL,
    person text NOT NULL,
    stated boolean NOT NULL,
    request_id text NOT NULL,
    trace_id uuid,
    merchant_id text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    last_id text NOT NULL,
    subjects integer NOT NULL,
    what text NOT NULL,
    CONSTRAINT audit_book_id_check CHECK ((book_id >= 0)),
    CONSTRAINT audit_method_check CHECK ((method <> ''::text)),
    CONSTRAINT audit_program_check CHECK ((program <> ''::text)),
    CONSTRAINT audit_subjects_check CHECK ((subjects > 0))
);

CREATE TABLE public.case_note (
    book_id bigint NOT NULL,
    case_id uuid NOT NULL,
    note_id uuid NOT NULL,
    kind smallint NOT NULL,
    program text NOT NULL,
    person text NOT NULL,
    text text NOT NULL,
    resolution text NOT NULL,
    evidence text NOT NULL,
    request_key text NOT NULL,
    at timestamp with time zone NOT NULL,
    request_hash bytea,
    response bytea,
    CONSTRAINT case_note_kind_check CHECK (((kind >= 1) AND (kind <= 6))),
    CONSTRAINT case_note_request_key_check CHECK ((octet_length(request_key) <= 128))
);

CREATE TABLE public.connection (
    book_id bigint NOT NULL,
    number smallint NOT NULL,
    name text NOT NULL,
    scheme smallint NOT NULL,
    made_at timestamp with time zone NOT NULL,
    looked_at timestamp with time zone,
    CONSTRAINT connection_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT connection_name_check CHECK ((name <> ''::text)),
    CONSTRAINT connection_number_check CHECK (((number >= 1) AND (number <= 64)))
);

CREATE TABLE public.data_key (
    book_id bigint NOT NULL,
    key_id text NOT NULL,
    first_at timestamp with time zone NOT NULL,
    sealed boolean NOT NULL,
    macs boolean NOT NULL,
    uses text NOT NULL,
    sealing_at timestamp with time zone,
    check_value bytea,
    CONSTRAINT data_key_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT data_key_key_id_check CHECK (((octet_length(key_id) >= 1) AND (octet_length(key_id) <= 32)))
);

CREATE TABLE public.deposit (
    book_id bigint NOT NULL,
    deposit_id uuid NOT NULL,
    merchant_id text NOT NULL,
    key text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    reference text NOT NULL,
    state smallint NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    back_number integer DEFAULT 0 NOT NULL,
    back_reason text DEFAULT ''::text NOT NULL,
    back_at timestamp with time zone,
    actor text,
    request_id text,
    trace_id uuid,
    back_actor text,
    back_request_id text,
    back_trace_id uuid,
    CONSTRAINT deposit_amount_check CHECK ((amount > 0)),
    CONSTRAINT deposit_currency_check CHECK ((octet_length(currency) = 3)),
    CONSTRAINT deposit_state_check CHECK (((state >= 1) AND (state <= 5)))
);

CREATE TABLE public.feed (
    book_id bigint NOT NULL,
    "position" bigint NOT NULL,
    n integer NOT NULL,
    at timestamp with time zone NOT NULL,
    payout_ids uuid[] NOT NULL,
    from_states smallint[] NOT NULL,
    to_states smallint[] NOT NULL,
    reasons text[],
    CONSTRAINT feed_n_check CHECK ((n > 0))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');
ALTER TABLE ONLY public.feed ALTER COLUMN payout_ids SET STORAGE EXTERNAL;

CREATE TABLE public.feed_head (
    book_id bigint NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    CONSTRAINT feed_head_book_id_check CHECK ((book_id > 0))
);

CREATE TABLE public.forgotten_entry (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    individual_id text NOT NULL,
    inbox_id uuid NOT NULL,
    number bigint NOT NULL,
    amount bigint NOT NULL,
    met_attempt integer
);

CREATE TABLE public.idempotency (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    key text NOT NULL,
    operation smallint NOT NULL,
    request_hash bytea NOT NULL,
    response bytea,
    created_at timestamp with time zone NOT NULL,
    made uuid,
    format smallint DEFAULT 1 NOT NULL,
    CONSTRAINT idempotency_answer_check CHECK (((response IS NULL) <> (made IS NULL))),
    CONSTRAINT idempotency_key_check CHECK (((octet_length(key) >= 1) AND (octet_length(key) <= 128))),
    CONSTRAINT idempotency_request_hash_check CHECK (((octet_length(request_hash) >= 32) AND (octet_length(request_hash) <= 66)))
);

CREATE TABLE public.import_fault (
    book_id bigint NOT NULL,
    import_id uuid NOT NULL,
    number integer NOT NULL,
    line integer NOT NULL,
    field text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL
);

CREATE TABLE public.import_part (
    book_id bigint NOT NULL,
    import_id uuid NOT NULL,
    at_byte bigint NOT NULL,
    sealed bytea NOT NULL
);

CREATE TABLE public.import_result (
    book_id bigint NOT NULL,
    import_id uuid NOT NULL,
    line integer NOT NULL,
    reference text NOT NULL,
    payout_id uuid,
    field text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL
);

CREATE TABLE public.inbound_file (
    book_id bigint NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    records integer NOT NULL,
    content_sealed bytea NOT NULL,
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.inbox (
    book_id bigint NOT NULL,
    inbox_id uuid NOT NULL,
    connection smallint NOT NULL,
    kind smallint NOT NULL,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    once bytea NOT NULL,
    content_sealed bytea NOT NULL,
    said_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    state smallint NOT NULL,
    version integer NOT NULL,
    about text NOT NULL,
    lines integer NOT NULL,
    events integer NOT NULL,
    exceptions integer NOT NULL,
    reason text NOT NULL,
    reason_text text NOT NULL,
    tries integer NOT NULL,
    seen integer NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT inbox_book_id_check CHECK ((book_id >= 0)),
    CONSTRAINT inbox_name_check CHECK ((octet_length(name) <= 300)),
    CONSTRAINT inbox_once_check CHECK ((octet_length(once) = 32)),
    CONSTRAINT inbox_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT inbox_size_check CHECK ((size >= 0))
);

CREATE TABLE public.inbox_exception (
    book_id bigint NOT NULL,
    inbox_id uuid NOT NULL,
    version integer NOT NULL,
    line integer NOT NULL,
    reason text NOT NULL,
    reason_text text NOT NULL,
    compared text NOT NULL,
    raw_sealed bytea NOT NULL,
    about_book_id bigint NOT NULL,
    payout_id uuid,
    amount bigint NOT NULL,
    currency text NOT NULL,
    state smallint NOT NULL,
    closed_by text NOT NULL,
    closed_reason text NOT NULL,
    at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT inbox_exception_compared_check CHECK ((octet_length(compared) <= 2000)),
    CONSTRAINT inbox_exception_line_check CHECK ((line >= 0)),
    CONSTRAINT inbox_exception_reason_check CHECK (((octet_length(reason) >= 1) AND (octet_length(reason) <= 64))),
    CONSTRAINT inbox_exception_reason_text_check CHECK ((octet_length(reason_text) <= 1000))
);

CREATE TABLE public.inbox_sweep (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    pass smallint NOT NULL,
    upto uuid NOT NULL,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.inbox_sweep_again (
    book_id bigint NOT NULL,
    payout_id uuid NOT NULL,
    pass smallint NOT NULL,
    connection smallint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    tries integer NOT NULL
);

CREATE TABLE public.inbox_version (
    book_id bigint NOT NULL,
    inbox_id uuid NOT NULL,
    version integer NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    content_sealed bytea NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT inbox_version_reason_check CHECK (((octet_length(reason) >= 1) AND (octet_length(reason) <= 1000))),
    CONSTRAINT inbox_version_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT inbox_version_size_check CHECK ((size >= 0)),
    CONSTRAINT inbox_version_version_check CHECK ((version > 1))
);

CREATE TABLE public.job (
    book_id bigint NOT NULL,
    name text NOT NULL,
    next_at timestamp with time zone NOT NULL,
    runs bigint NOT NULL,
    ran_at timestamp with time zone,
    CONSTRAINT job_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT job_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 64)))
);

CREATE TABLE public.key_count (
    book_id bigint NOT NULL,
    rotation_id uuid NOT NULL,
    key_id text NOT NULL,
    target text NOT NULL,
    n bigint NOT NULL,
    CONSTRAINT key_count_book_id_check CHECK ((book_id = 0))
);

CREATE TABLE public.key_instance (
    book_id bigint NOT NULL,
    instance uuid NOT NULL,
    key_ids text NOT NULL,
    current text NOT NULL,
    since timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    CONSTRAINT key_instance_book_id_check CHECK ((book_id = 0))
);

CREATE TABLE public.key_rotation (
    book_id bigint NOT NULL,
    rotation_id uuid NOT NULL,
    key_id text NOT NULL,
    state smallint NOT NULL,
    actor text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    target integer NOT NULL,
    at_book bigint NOT NULL,
    at1 text NOT NULL,
    at2 text NOT NULL,
    at3 text NOT NULL,
    walked bigint NOT NULL,
    resealed bigint NOT NULL,
    unreadable bigint NOT NULL,
    walk_at timestamp with time zone,
    CONSTRAINT key_rotation_book_id_check CHECK ((book_id = 0))
);

CREATE TABLE public.merchant (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    name text NOT NULL,
    currencies text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    actor text,
    request_id text,
    trace_id uuid,
    CONSTRAINT merchant_book_id_check CHECK ((book_id > 0)),
    CONSTRAINT merchant_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200)))
);

CREATE TABLE public.merchant_book (
    merchant_id text NOT NULL,
    book_id bigint NOT NULL,
    CONSTRAINT merchant_book_book_id_check CHECK ((book_id > 0)),
    CONSTRAINT merchant_book_merchant_id_check CHECK ((merchant_id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'::text))
);

CREATE TABLE public.merchant_connection (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    rail smallint NOT NULL,
    change integer NOT NULL,
    connection smallint NOT NULL,
    actor text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT merchant_connection_book_id_check CHECK ((book_id > 0)),
    CONSTRAINT merchant_connection_change_check CHECK ((change >= 0)),
    CONSTRAINT merchant_connection_connection_check CHECK ((connection >= 0)),
    CONSTRAINT merchant_connection_rail_check CHECK ((rail > 0))
);

CREATE TABLE public.pause (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    merchant_id text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    since timestamp with time zone NOT NULL,
    CONSTRAINT pause_book_id_check CHECK ((book_id >= 0)),
    CONSTRAINT pause_connection_check CHECK ((connection >= 0)),
    CONSTRAINT pause_reason_check CHECK (((octet_length(reason) >= 1) AND (octet_length(reason) <= 500)))
);

CREATE TABLE public.pause_log (
    book_id bigint NOT NULL,
    entry_id uuid NOT NULL,
    connection smallint NOT NULL,
    merchant_id text NOT NULL,
    kind smallint NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT pause_log_kind_check CHECK ((kind = ANY (ARRAY[1, 2])))
);

CREATE TABLE public.payment_case (
    book_id bigint NOT NULL,
    case_id uuid NOT NULL,
    kind text NOT NULL,
    subject_type text NOT NULL,
    subject_id text NOT NULL,
    merchant_id text NOT NULL,
    code text NOT NULL,
    text text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    state smallint NOT NULL,
    owner text NOT NULL,
    resolution text NOT NULL,
    seen bigint NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    CONSTRAINT payment_case_book_id_check CHECK ((book_id >= 0)),
    CONSTRAINT payment_case_code_check CHECK ((octet_length(code) <= 64)),
    CONSTRAINT payment_case_kind_check CHECK (((octet_length(kind) >= 1) AND (octet_length(kind) <= 64))),
    CONSTRAINT payment_case_seen_check CHECK ((seen > 0)),
    CONSTRAINT payment_case_state_check CHECK ((state = ANY (ARRAY[1, 2]))),
    CONSTRAINT payment_case_subject_id_check CHECK (((octet_length(subject_id) >= 1) AND (octet_length(subject_id) <= 200))),
    CONSTRAINT payment_case_subject_type_check CHECK (((octet_length(subject_type) >= 1) AND (octet_length(subject_type) <= 32))),
    CONSTRAINT payment_case_text_check CHECK ((octet_length(text) <= 1000))
);

CREATE TABLE public.payment_import (
    book_id bigint NOT NULL,
    import_id uuid NOT NULL,
    merchant_id text NOT NULL,
    key text NOT NULL,
    file_name text NOT NULL,
    size_bytes bigint NOT NULL,
    state smallint NOT NULL,
    slot smallint,
    received bigint NOT NULL,
    sha256 text,
    row_count integer NOT NULL,
    fault_count integer NOT NULL,
    handed integer NOT NULL,
    accepted integer NOT NULL,
    refused integer NOT NULL,
    stop boolean NOT NULL,
    actor text NOT NULL,
    started_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    owner uuid,
    lease_ends_at timestamp with time zone,
    started_request_id text,
    started_trace_id uuid,
    request_hash bytea,
    CONSTRAINT payment_import_book_id_check CHECK ((book_id > 0)),
    CONSTRAINT payment_import_size_bytes_check CHECK ((size_bytes > 0)),
    CONSTRAINT payment_import_state_check CHECK (((state >= 1) AND (state <= 7)))
);

CREATE TABLE public.payout (
    book_id bigint NOT NULL,
    payout_id uuid NOT NULL,
    merchant_id text NOT NULL,
    recipient_id uuid NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    rail smallint NOT NULL,
    external_reference text NOT NULL,
    description text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    intent_id uuid NOT NULL,
    fee bigint,
    request_hash bytea,
    actor text,
    request_id text,
    trace_id uuid,
    CONSTRAINT payout_amount_check CHECK ((amount > 0)),
    CONSTRAINT payout_currency_check CHECK ((octet_length(currency) = 3))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');

CREATE TABLE public.payout_apart (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    payout_id uuid NOT NULL,
    counted_as smallint
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE public.payout_archived (
    book_id bigint NOT NULL,
    rail smallint NOT NULL,
    currency text NOT NULL,
    n bigint NOT NULL,
    at_bank numeric NOT NULL
);

CREATE TABLE public.payout_sum (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    rail smallint NOT NULL,
    currency text NOT NULL,
    state smallint NOT NULL,
    n bigint NOT NULL,
    total numeric NOT NULL
);

CREATE TABLE public.payout_sum_upto (
    book_id bigint NOT NULL,
    upto uuid NOT NULL
);

CREATE TABLE public.rail_event (
    book_id bigint NOT NULL,
    payout_id uuid NOT NULL,
    event_id text NOT NULL,
    attempt integer NOT NULL,
    kind smallint NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    rail_reference text NOT NULL,
    at timestamp with time zone NOT NULL,
    amount bigint DEFAULT 0 NOT NULL,
    currency text DEFAULT ''::text NOT NULL,
    inbox_id uuid,
    inbox_line integer DEFAULT 0 NOT NULL,
    source smallint DEFAULT 1 NOT NULL,
    actor text DEFAULT ''::text NOT NULL,
    order_number integer,
    CONSTRAINT rail_event_amount_check CHECK ((amount >= 0)),
    CONSTRAINT rail_event_currency_check CHECK ((octet_length(currency) = ANY (ARRAY[0, 3]))),
    CONSTRAINT rail_event_event_id_check CHECK (((octet_length(event_id) >= 1) AND (octet_length(event_id) <= 200)))
)
PARTITION BY RANGE (payout_id);

CREATE TABLE public.receivable (
    book_id bigint NOT NULL,
    merchant_id text NOT NULL,
    currency text NOT NULL,
    noted bigint NOT NULL,
    owed bigint NOT NULL,
    since timestamp with time zone NOT NULL,
    CONSTRAINT receivable_currency_check CHECK ((octet_length(currency) = 3)),
    CONSTRAINT receivable_noted_check CHECK ((noted > 0)),
    CONSTRAINT receivable_owed_check CHECK ((owed >= 0))
);

CREATE TABLE public.recipient (
    book_id bigint NOT NULL,
    recipient_id uuid NOT NULL,
    merchant_id text NOT NULL,
    holder_type smallint NOT NULL,
    account_type smallint NOT NULL,
    currency text NOT NULL,
    routing_code text NOT NULL,
    account_last4 text NOT NULL,
    name_sealed bytea NOT NULL,
    account_sealed bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    actor text,
    request_id text,
    trace_id uuid,
    CONSTRAINT recipient_account_type_check CHECK ((account_type = ANY (ARRAY[1, 2]))),
    CONSTRAINT recipient_holder_type_check CHECK ((holder_type = ANY (ARRAY[1, 2])))
);

CREATE TABLE public.recovery_listing (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    since timestamp with time zone NOT NULL,
    wanted_at timestamp with time zone NOT NULL,
    done_at timestamp with time zone,
    files integer NOT NULL,
    shown smallint NOT NULL,
    CONSTRAINT recovery_listing_book_id_check CHECK ((book_id = 0))
);

CREATE TABLE public.saga (
    book_id bigint NOT NULL,
    payout_id uuid NOT NULL,
    rail smallint NOT NULL,
    step smallint NOT NULL,
    phase smallint DEFAULT 0 NOT NULL,
    state smallint NOT NULL,
    outlook smallint DEFAULT 0 NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    log_seq integer DEFAULT 0 NOT NULL,
    events integer DEFAULT 0 NOT NULL,
    events_seen integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone,
    epoch bigint DEFAULT 0 NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    reason_text text DEFAULT ''::text NOT NULL,
    rail_reference text DEFAULT ''::text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    hold text DEFAULT ''::text NOT NULL,
    hold_text text DEFAULT ''::text NOT NULL,
    held_state smallint,
    doubt smallint,
    returned bigint,
    moving bigint,
    written_off bigint,
    leg integer,
    reserve_leg integer,
    orders integer,
    judged integer,
    step_since timestamp with time zone NOT NULL,
    ended_badly smallint,
    lane smallint DEFAULT 0 NOT NULL,
    absent_since timestamp with time zone,
    planned_at timestamp with time zone,
    judged_settled bigint,
    judged_returned bigint,
    judged_refusals integer,
    judged_odd integer,
    CONSTRAINT saga_lane_check CHECK (((lane >= 0) AND (lane <= 15))),
    CONSTRAINT saga_phase_check CHECK ((phase = ANY (ARRAY[0, 1]))),
    CONSTRAINT saga_state_check CHECK (((state >= 1) AND (state <= 10)))
)
WITH (fillfactor='45', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='20000', autovacuum_vacuum_insert_scale_factor='0.05', autovacuum_analyze_scale_factor='0.02');

CREATE TABLE public.saga_heard (
    book_id bigint NOT NULL,
    heard_id uuid NOT NULL,
    rail smallint NOT NULL,
    at timestamp with time zone NOT NULL,
    n integer NOT NULL,
    payout_ids uuid[] NOT NULL,
    CONSTRAINT saga_heard_n_check CHECK ((n > 0))
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');
ALTER TABLE ONLY public.saga_heard ALTER COLUMN payout_ids SET STORAGE EXTERNAL;

CREATE TABLE public.saga_lease (
    book_id bigint NOT NULL,
    lease_id uuid NOT NULL,
    rail smallint NOT NULL,
    step smallint NOT NULL,
    owner uuid NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    n integer NOT NULL,
    payout_ids uuid[] NOT NULL,
    n_due integer
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');
ALTER TABLE ONLY public.saga_lease ALTER COLUMN payout_ids SET STORAGE EXTERNAL;

CREATE TABLE public.saga_slot (
    book_id bigint NOT NULL,
    rail smallint NOT NULL,
    step smallint NOT NULL,
    claims bigint NOT NULL
)
WITH (fillfactor='20', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000');

CREATE TABLE public.schema_migration (
    version integer NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.step_log (
    book_id bigint NOT NULL,
    payout_id uuid NOT NULL,
    seq integer NOT NULL,
    step smallint NOT NULL,
    kind smallint NOT NULL,
    outcome smallint NOT NULL,
    attempt integer NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    rail_reference text NOT NULL,
    transfer_id uuid,
    owner uuid NOT NULL,
    epoch bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    outlook smallint DEFAULT 0 NOT NULL,
    moving bigint,
    CONSTRAINT step_log_kind_check CHECK ((kind = ANY (ARRAY[1, 2]))),
    CONSTRAINT step_log_seq_check CHECK ((seq > 0))
)
PARTITION BY RANGE (payout_id);

CREATE TABLE public.submission (
    book_id bigint NOT NULL,
    submission_id uuid NOT NULL,
    connection smallint NOT NULL,
    kind smallint NOT NULL,
    name text NOT NULL,
    origin text NOT NULL,
    cycle integer NOT NULL,
    number_first bigint NOT NULL,
    number_last bigint NOT NULL,
    items integer NOT NULL,
    total bigint NOT NULL,
    currency text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    content_sealed bytea NOT NULL,
    seal text NOT NULL,
    generation integer NOT NULL,
    window_at timestamp with time zone NOT NULL,
    stale_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    state smallint NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone,
    owner uuid,
    epoch bigint DEFAULT 0 NOT NULL,
    lease_ends_at timestamp with time zone,
    reason text DEFAULT ''::text NOT NULL,
    reason_text text DEFAULT ''::text NOT NULL,
    sent_at timestamp with time zone,
    changed_at timestamp with time zone NOT NULL,
    settles_at timestamp with time zone,
    sender_bank text,
    sender_company text,
    CONSTRAINT submission_book_id_check CHECK ((book_id > 0)),
    CONSTRAINT submission_currency_check CHECK ((octet_length(currency) = 3)),
    CONSTRAINT submission_generation_check CHECK ((generation > 0)),
    CONSTRAINT submission_items_check CHECK ((items > 0)),
    CONSTRAINT submission_kind_check CHECK ((kind = ANY (ARRAY[1, 2]))),
    CONSTRAINT submission_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 200))),
    CONSTRAINT submission_seal_check CHECK ((seal = ANY (ARRAY['submission'::text, 'ach_file'::text]))),
    CONSTRAINT submission_sender_bank_check CHECK (((octet_length(sender_bank) >= 1) AND (octet_length(sender_bank) <= 32))),
    CONSTRAINT submission_sender_company_check CHECK (((octet_length(sender_company) >= 1) AND (octet_length(sender_company) <= 32))),
    CONSTRAINT submission_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT submission_state_check CHECK (((state >= 1) AND (state <= 8)))
);
ALTER TABLE ONLY public.submission ALTER COLUMN content_sealed SET STORAGE EXTERNAL;

CREATE TABLE public.submission_day (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    origin text NOT NULL,
    file_date date NOT NULL,
    next_modifier smallint NOT NULL,
    window_at timestamp with time zone NOT NULL,
    in_window integer NOT NULL,
    cut_at timestamp with time zone NOT NULL,
    CONSTRAINT submission_day_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT submission_day_next_modifier_check CHECK (((next_modifier >= 0) AND (next_modifier <= 36)))
);

CREATE TABLE public.submission_directory (
    book_id bigint NOT NULL,
    submission_id uuid NOT NULL,
    connection smallint NOT NULL,
    home_book bigint NOT NULL,
    name text NOT NULL,
    cycle integer NOT NULL,
    number_first bigint NOT NULL,
    number_last bigint NOT NULL,
    CONSTRAINT submission_directory_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT submission_directory_check CHECK ((number_last >= number_first))
);

CREATE TABLE public.submission_item (
    book_id bigint NOT NULL,
    submission_id uuid NOT NULL,
    payout_id uuid NOT NULL,
    attempt integer NOT NULL,
    number bigint NOT NULL,
    amount bigint NOT NULL
);

CREATE TABLE public.submission_number (
    book_id bigint NOT NULL,
    connection smallint NOT NULL,
    cycle integer NOT NULL,
    next_number bigint NOT NULL,
    CONSTRAINT submission_number_book_id_check CHECK ((book_id = 0)),
    CONSTRAINT submission_number_cycle_check CHECK ((cycle > 0)),
    CONSTRAINT submission_number_next_number_check CHECK ((next_number > 0))
);

CREATE TABLE public.submission_upload (
    book_id bigint NOT NULL,
    submission_id uuid NOT NULL,
    seq integer NOT NULL,
    kind smallint NOT NULL,
    epoch bigint NOT NULL,
    owner uuid,
    inbox_id uuid,
    detail text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT submission_upload_seq_check CHECK ((seq > 0))
);

CREATE TABLE public.timeline (
    book_id bigint NOT NULL,
    system_id bigint NOT NULL,
    timeline_id integer NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    recovering_since timestamp with time zone,
    why text DEFAULT ''::text NOT NULL,
    ended_at timestamp with time zone,
    ended_by text DEFAULT ''::text NOT NULL,
    recovery_id text DEFAULT ''::text NOT NULL,
    CONSTRAINT timeline_book_id_check CHECK ((book_id = 0))
);

ALTER TABLE ONLY public.archive
    ADD CONSTRAINT archive_pkey PRIMARY KEY (book_id, archive_id);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (book_id, audit_id);

ALTER TABLE ONLY public.case_note
    ADD CONSTRAINT case_note_pkey PRIMARY KEY (book_id, case_id, note_id);

ALTER TABLE ONLY public.connection
    ADD CONSTRAINT connection_pkey PRIMARY KEY (book_id, number);

ALTER TABLE ONLY public.data_key
    ADD CONSTRAINT data_key_pkey PRIMARY KEY (book_id, key_id);

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_pkey PRIMARY KEY (book_id, deposit_id);

ALTER TABLE ONLY public.feed_head
    ADD CONSTRAINT feed_head_pkey PRIMARY KEY (book_id);

ALTER TABLE ONLY public.feed
    ADD CONSTRAINT feed_pkey PRIMARY KEY (book_id, "position");

ALTER TABLE ONLY public.forgotten_entry
    ADD CONSTRAINT forgotten_entry_pkey PRIMARY KEY (book_id, connection, individual_id, inbox_id, number);

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (book_id, merchant_id, operation, key);

ALTER TABLE ONLY public.import_fault
    ADD CONSTRAINT import_fault_pkey PRIMARY KEY (book_id, import_id, number);

ALTER TABLE ONLY public.import_part
    ADD CONSTRAINT import_part_pkey PRIMARY KEY (book_id, import_id, at_byte);

ALTER TABLE ONLY public.import_result
    ADD CONSTRAINT import_result_pkey PRIMARY KEY (book_id, import_id, line);

ALTER TABLE ONLY public.inbound_file
    ADD CONSTRAINT inbound_file_pkey PRIMARY KEY (book_id, name);

ALTER TABLE ONLY public.inbox_exception
    ADD CONSTRAINT inbox_exception_pkey PRIMARY KEY (book_id, inbox_id, version, line);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (book_id, inbox_id);

ALTER TABLE ONLY public.inbox_sweep_again
    ADD CONSTRAINT inbox_sweep_again_pkey PRIMARY KEY (book_id, payout_id, pass);

ALTER TABLE ONLY public.inbox_sweep
    ADD CONSTRAINT inbox_sweep_pkey PRIMARY KEY (book_id, connection, pass);

ALTER TABLE ONLY public.inbox_version
    ADD CONSTRAINT inbox_version_pkey PRIMARY KEY (book_id, inbox_id, version);

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (book_id, name);

ALTER TABLE ONLY public.key_count
    ADD CONSTRAINT key_count_pkey PRIMARY KEY (book_id, rotation_id, key_id, target);

ALTER TABLE ONLY public.key_instance
    ADD CONSTRAINT key_instance_pkey PRIMARY KEY (book_id, instance);

ALTER TABLE ONLY public.key_rotation
    ADD CONSTRAINT key_rotation_pkey PRIMARY KEY (book_id, rotation_id);

ALTER TABLE ONLY public.merchant_book
    ADD CONSTRAINT merchant_book_pkey PRIMARY KEY (merchant_id);

ALTER TABLE ONLY public.merchant_connection
    ADD CONSTRAINT merchant_connection_pkey PRIMARY KEY (book_id, merchant_id, rail, change);

ALTER TABLE ONLY public.merchant
    ADD CONSTRAINT merchant_pkey PRIMARY KEY (book_id, merchant_id);

ALTER TABLE ONLY public.pause_log
    ADD CONSTRAINT pause_log_pkey PRIMARY KEY (book_id, entry_id);

ALTER TABLE ONLY public.pause
    ADD CONSTRAINT pause_pkey PRIMARY KEY (book_id, connection, merchant_id);

ALTER TABLE ONLY public.payment_case
    ADD CONSTRAINT payment_case_pkey PRIMARY KEY (book_id, case_id);

ALTER TABLE ONLY public.payment_import
    ADD CONSTRAINT payment_import_pkey PRIMARY KEY (book_id, import_id);

ALTER TABLE ONLY public.payout_apart
    ADD CONSTRAINT payout_apart_pkey PRIMARY KEY (book_id, merchant_id, payout_id);

ALTER TABLE ONLY public.payout_archived
    ADD CONSTRAINT payout_archived_pkey PRIMARY KEY (book_id, rail, currency);

ALTER TABLE public.payout
    ADD CONSTRAINT payout_fee_check CHECK ((fee > 0)) NOT VALID;

ALTER TABLE ONLY public.payout
    ADD CONSTRAINT payout_pkey PRIMARY KEY (book_id, payout_id);

ALTER TABLE public.payout
    ADD CONSTRAINT payout_rail_check CHECK (((rail >= 1) AND (rail <= 64))) NOT VALID;

ALTER TABLE ONLY public.payout_sum
    ADD CONSTRAINT payout_sum_pkey PRIMARY KEY (book_id, merchant_id, rail, currency, state);

ALTER TABLE ONLY public.payout_sum_upto
    ADD CONSTRAINT payout_sum_upto_pkey PRIMARY KEY (book_id);

ALTER TABLE ONLY public.rail_event
    ADD CONSTRAINT rail_event_pkey PRIMARY KEY (book_id, payout_id, event_id);

ALTER TABLE ONLY public.receivable
    ADD CONSTRAINT receivable_pkey PRIMARY KEY (book_id, merchant_id, currency);

ALTER TABLE ONLY public.recipient
    ADD CONSTRAINT recipient_pkey PRIMARY KEY (book_id, recipient_id);

ALTER TABLE ONLY public.recovery_listing
    ADD CONSTRAINT recovery_listing_pkey PRIMARY KEY (book_id, connection);

ALTER TABLE ONLY public.saga_heard
    ADD CONSTRAINT saga_heard_pkey PRIMARY KEY (book_id, heard_id);

ALTER TABLE ONLY public.saga_lease
    ADD CONSTRAINT saga_lease_pkey PRIMARY KEY (book_id, lease_id);

ALTER TABLE ONLY public.saga
    ADD CONSTRAINT saga_pkey PRIMARY KEY (book_id, payout_id) WITH (fillfactor='50', deduplicate_items=off);

ALTER TABLE ONLY public.saga_slot
    ADD CONSTRAINT saga_slot_pkey PRIMARY KEY (book_id, rail, step);

ALTER TABLE public.saga
    ADD CONSTRAINT saga_step_check CHECK (((step >= 1) AND (step <= 10))) NOT VALID;

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.step_log
    ADD CONSTRAINT step_log_pkey PRIMARY KEY (book_id, payout_id, seq);

ALTER TABLE ONLY public.submission_day
    ADD CONSTRAINT submission_day_pkey PRIMARY KEY (book_id, connection, origin, file_date);

ALTER TABLE ONLY public.submission_directory
    ADD CONSTRAINT submission_directory_pkey PRIMARY KEY (book_id, submission_id);

ALTER TABLE ONLY public.submission_item
    ADD CONSTRAINT submission_item_book_id_submission_id_number_key UNIQUE (book_id, submission_id, number);

ALTER TABLE ONLY public.submission_item
    ADD CONSTRAINT submission_item_pkey PRIMARY KEY (book_id, payout_id, attempt);

ALTER TABLE ONLY public.submission_number
    ADD CONSTRAINT submission_number_pkey PRIMARY KEY (book_id, connection);

ALTER TABLE ONLY public.submission
    ADD CONSTRAINT submission_pkey PRIMARY KEY (book_id, submission_id);

ALTER TABLE ONLY public.submission_upload
    ADD CONSTRAINT submission_upload_pkey PRIMARY KEY (book_id, submission_id, seq);

ALTER TABLE ONLY public.timeline
    ADD CONSTRAINT timeline_pkey PRIMARY KEY (book_id);

CREATE INDEX audit_merchant ON public.audit USING btree (book_id, merchant_id, audit_id);

CREATE INDEX audit_person ON public.audit USING btree (book_id, person, audit_id) WHERE (person <> ''::text);

CREATE INDEX audit_request ON public.audit USING btree (book_id, request_id, audit_id);

CREATE INDEX audit_subject ON public.audit USING btree (book_id, subject_id, audit_id) WHERE (last_id = ''::text);

CREATE UNIQUE INDEX case_note_request ON public.case_note USING btree (book_id, case_id, request_key) WHERE (request_key <> ''::text);

CREATE UNIQUE INDEX connection_by_name ON public.connection USING btree (book_id, name);

CREATE INDEX deposit_going_back ON public.deposit USING btree (book_id, deposit_id) WHERE (state = 4);

CREATE INDEX deposit_merchant ON public.deposit USING btree (book_id, merchant_id, created_at, deposit_id) WHERE (merchant_id IS NOT NULL);

CREATE INDEX deposit_open ON public.deposit USING btree (book_id, deposit_id) WHERE (state = 1);

CREATE INDEX import_result_refused ON public.import_result USING btree (book_id, import_id, line) WHERE (payout_id IS NULL);

CREATE INDEX inbox_by_state ON public.inbox USING btree (book_id, connection, state, inbox_id);

CREATE INDEX inbox_exception_open ON public.inbox_exception USING btree (book_id, inbox_id, version, line) WHERE (state = 1);

CREATE INDEX inbox_last ON public.inbox USING btree (book_id, connection, inbox_id);

CREATE UNIQUE INDEX inbox_once ON public.inbox USING btree (book_id, connection, kind, once);

CREATE INDEX inbox_open ON public.inbox USING btree (book_id, inbox_id) WHERE (state = 1);

CREATE INDEX inbox_refused ON public.inbox USING btree (book_id, inbox_id) WHERE (state = 3);

CREATE INDEX inbox_sweep_again_due ON public.inbox_sweep_again USING btree (book_id, connection, due_at);

CREATE UNIQUE INDEX key_rotation_one ON public.key_rotation USING btree (book_id) WHERE (state = 1);

CREATE INDEX merchant_book_book ON public.merchant_book USING btree (book_id);

CREATE INDEX payment_case_of_merchant ON public.payment_case USING btree (book_id, merchant_id, case_id) WHERE (merchant_id <> ''::text);

CREATE INDEX payment_case_of_subject ON public.payment_case USING btree (book_id, subject_id, case_id);

CREATE UNIQUE INDEX payment_case_one_open ON public.payment_case USING btree (book_id, subject_type, subject_id, kind) WHERE (state = 1);

CREATE INDEX payment_case_open ON public.payment_case USING btree (book_id, case_id) WHERE (state = 1);

CREATE UNIQUE INDEX payment_import_key ON public.payment_import USING btree (book_id, merchant_id, key);

CREATE INDEX payment_import_list ON public.payment_import USING btree (book_id, merchant_id, import_id);

CREATE UNIQUE INDEX payment_import_slot ON public.payment_import USING btree (book_id, merchant_id, slot) WHERE (slot IS NOT NULL);

CREATE INDEX payment_import_work ON public.payment_import USING btree (book_id, import_id) WHERE (state = ANY (ARRAY[2, 5]));

CREATE UNIQUE INDEX payout_intent ON public.payout USING btree (book_id, intent_id) WHERE (intent_id IS NOT NULL);

CREATE INDEX payout_merchant ON public.payout USING btree (book_id, merchant_id, payout_id) WHERE (merchant_id IS NOT NULL);

CREATE INDEX payout_recipient ON public.payout USING btree (book_id, recipient_id, payout_id) WHERE (recipient_id IS NOT NULL);

CREATE INDEX payout_reference ON public.payout USING btree (book_id, merchant_id, external_reference, payout_id) WHERE (external_reference <> ''::text);

CREATE INDEX recipient_merchant ON public.recipient USING btree (book_id, merchant_id, recipient_id) WHERE (merchant_id IS NOT NULL);

CREATE INDEX saga_due ON public.saga USING btree (book_id, rail, step, (
CASE
    WHEN (step <= 2) THEN lane
    ELSE (0)::smallint
END), due_at) WITH (fillfactor='50', deduplicate_items=off) WHERE (due_at IS NOT NULL);

CREATE INDEX saga_ended_badly ON public.saga USING btree (book_id, payout_id) WHERE (ended_badly IS NOT NULL);

CREATE INDEX saga_held ON public.saga USING btree (book_id, hold, step_since) WHERE (hold <> ''::text);

CREATE INDEX saga_waiting ON public.saga USING btree (book_id, rail, step, step_since) WITH (fillfactor='50', deduplicate_items=off) WHERE ((due_at IS NULL) AND (step <> 8) AND (hold = ''::text));

CREATE INDEX submission_directory_name ON public.submission_directory USING btree (book_id, connection, name);

CREATE INDEX submission_directory_range ON public.submission_directory USING btree (book_id, connection, cycle, number_first);

CREATE INDEX submission_due ON public.submission USING btree (book_id, due_at) WHERE (due_at IS NOT NULL);

CREATE INDEX submission_settles ON public.submission USING btree (book_id, settles_at) WHERE ((settles_at IS NOT NULL) AND (state <> ALL (ARRAY[5, 7])));

CREATE INDEX submission_state ON public.submission USING btree (book_id, state, submission_id);

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO payments_migrator;
GRANT USAGE ON SCHEMA public TO payments_service;

REVOKE ALL ON FUNCTION public.keys_reseal(target text, book bigint, k1 text[], k2 text[], k3 text[], heads bytea[], fresh bytea[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.keys_reseal(target text, book bigint, k1 text[], k2 text[], k3 text[], heads bytea[], fresh bytea[]) TO payments_service;

GRANT SELECT ON TABLE public.archive TO payments_service;

GRANT SELECT,INSERT ON TABLE public.audit TO payments_service;

GRANT SELECT,INSERT ON TABLE public.case_note TO payments_service;

GRANT SELECT,INSERT ON TABLE public.connection TO payments_service;

GRANT UPDATE(looked_at) ON TABLE public.connection TO payments_service;

GRANT SELECT,INSERT ON TABLE public.data_key TO payments_service;

GRANT UPDATE(sealed) ON TABLE public.data_key TO payments_service;

GRANT UPDATE(macs) ON TABLE public.data_key TO payments_service;

GRANT UPDATE(uses) ON TABLE public.data_key TO payments_service;

GRANT UPDATE(sealing_at) ON TABLE public.data_key TO payments_service;

GRANT UPDATE(check_value) ON TABLE public.data_key TO payments_service;

GRANT SELECT,INSERT ON TABLE public.deposit TO payments_service;

GRANT UPDATE(state) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(reason) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(decided_at) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_number) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_reason) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_at) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_actor) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_request_id) ON TABLE public.deposit TO payments_service;

GRANT UPDATE(back_trace_id) ON TABLE public.deposit TO payments_service;

GRANT SELECT,INSERT ON TABLE public.feed TO payments_service;

GRANT SELECT,INSERT ON TABLE public.feed_head TO payments_service;

GRANT UPDATE(begun_at) ON TABLE public.feed_head TO payments_service;

GRANT SELECT,INSERT ON TABLE public.forgotten_entry TO payments_service;

GRANT UPDATE(met_attempt) ON TABLE public.forgotten_entry TO payments_service;

GRANT SELECT,INSERT ON TABLE public.idempotency TO payments_service;

GRANT SELECT,INSERT ON TABLE public.import_fault TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.import_part TO payments_service;

GRANT SELECT,INSERT ON TABLE public.import_result TO payments_service;

GRANT SELECT,INSERT ON TABLE public.inbound_file TO payments_service;

GRANT SELECT,INSERT ON TABLE public.inbox TO payments_service;

GRANT UPDATE(state) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(version) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(about) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(lines) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(events) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(exceptions) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(reason) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(reason_text) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(tries) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(seen) ON TABLE public.inbox TO payments_service;

GRANT UPDATE(updated_at) ON TABLE public.inbox TO payments_service;

GRANT SELECT,INSERT ON TABLE public.inbox_exception TO payments_service;

GRANT UPDATE(state) ON TABLE public.inbox_exception TO payments_service;

GRANT UPDATE(closed_by) ON TABLE public.inbox_exception TO payments_service;

GRANT UPDATE(closed_reason) ON TABLE public.inbox_exception TO payments_service;

GRANT UPDATE(closed_at) ON TABLE public.inbox_exception TO payments_service;

GRANT SELECT,INSERT ON TABLE public.inbox_sweep TO payments_service;

GRANT UPDATE(upto) ON TABLE public.inbox_sweep TO payments_service;

GRANT UPDATE(at) ON TABLE public.inbox_sweep TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.inbox_sweep_again TO payments_service;

GRANT UPDATE(due_at) ON TABLE public.inbox_sweep_again TO payments_service;

GRANT UPDATE(tries) ON TABLE public.inbox_sweep_again TO payments_service;

GRANT SELECT,INSERT ON TABLE public.inbox_version TO payments_service;

GRANT SELECT,INSERT ON TABLE public.job TO payments_service;

GRANT UPDATE(next_at) ON TABLE public.job TO payments_service;

GRANT UPDATE(runs) ON TABLE public.job TO payments_service;

GRANT UPDATE(ran_at) ON TABLE public.job TO payments_service;

GRANT SELECT,INSERT ON TABLE public.key_count TO payments_service;

GRANT UPDATE(n) ON TABLE public.key_count TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.key_instance TO payments_service;

GRANT UPDATE(key_ids) ON TABLE public.key_instance TO payments_service;

GRANT UPDATE(current) ON TABLE public.key_instance TO payments_service;

GRANT UPDATE(since) ON TABLE public.key_instance TO payments_service;

GRANT UPDATE(seen_at) ON TABLE public.key_instance TO payments_service;

GRANT SELECT,INSERT ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(state) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(ended_at) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(target) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(at_book) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(at1) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(at2) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(at3) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(walked) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(resealed) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(unreadable) ON TABLE public.key_rotation TO payments_service;

GRANT UPDATE(walk_at) ON TABLE public.key_rotation TO payments_service;

GRANT SELECT,INSERT ON TABLE public.merchant TO payments_service;

GRANT SELECT,INSERT ON TABLE public.merchant_book TO payments_service;

GRANT SELECT,INSERT ON TABLE public.merchant_connection TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.pause TO payments_service;

GRANT SELECT,INSERT ON TABLE public.pause_log TO payments_service;

GRANT SELECT,INSERT ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(code) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(text) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(amount) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(currency) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(state) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(owner) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(resolution) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(seen) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(seen_at) ON TABLE public.payment_case TO payments_service;

GRANT UPDATE(resolved_at) ON TABLE public.payment_case TO payments_service;

GRANT SELECT,INSERT ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(state) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(slot) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(received) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(sha256) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(row_count) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(fault_count) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(handed) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(accepted) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(refused) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(stop) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(started_by) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(updated_at) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(owner) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(lease_ends_at) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(started_request_id) ON TABLE public.payment_import TO payments_service;

GRANT UPDATE(started_trace_id) ON TABLE public.payment_import TO payments_service;

GRANT SELECT,INSERT ON TABLE public.payout TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.payout_apart TO payments_service;

GRANT UPDATE(counted_as) ON TABLE public.payout_apart TO payments_service;

GRANT SELECT ON TABLE public.payout_archived TO payments_service;

GRANT SELECT,INSERT ON TABLE public.payout_sum TO payments_service;

GRANT UPDATE(n) ON TABLE public.payout_sum TO payments_service;

GRANT UPDATE(total) ON TABLE public.payout_sum TO payments_service;

GRANT SELECT,INSERT ON TABLE public.payout_sum_upto TO payments_service;

GRANT UPDATE(upto) ON TABLE public.payout_sum_upto TO payments_service;

GRANT SELECT,INSERT ON TABLE public.rail_event TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.receivable TO payments_service;

GRANT UPDATE(noted) ON TABLE public.receivable TO payments_service;

GRANT UPDATE(owed) ON TABLE public.receivable TO payments_service;

GRANT SELECT,INSERT ON TABLE public.recipient TO payments_service;

GRANT SELECT,INSERT ON TABLE public.recovery_listing TO payments_service;

GRANT UPDATE(since) ON TABLE public.recovery_listing TO payments_service;

GRANT UPDATE(wanted_at) ON TABLE public.recovery_listing TO payments_service;

GRANT UPDATE(done_at) ON TABLE public.recovery_listing TO payments_service;

GRANT UPDATE(files) ON TABLE public.recovery_listing TO payments_service;

GRANT UPDATE(shown) ON TABLE public.recovery_listing TO payments_service;

GRANT SELECT,INSERT ON TABLE public.saga TO payments_service;

GRANT UPDATE(step) ON TABLE public.saga TO payments_service;

GRANT UPDATE(phase) ON TABLE public.saga TO payments_service;

GRANT UPDATE(state) ON TABLE public.saga TO payments_service;

GRANT UPDATE(outlook) ON TABLE public.saga TO payments_service;

GRANT UPDATE(attempt) ON TABLE public.saga TO payments_service;

GRANT UPDATE(tries) ON TABLE public.saga TO payments_service;

GRANT UPDATE(log_seq) ON TABLE public.saga TO payments_service;

GRANT UPDATE(events) ON TABLE public.saga TO payments_service;

GRANT UPDATE(events_seen) ON TABLE public.saga TO payments_service;

GRANT UPDATE(due_at) ON TABLE public.saga TO payments_service;

GRANT UPDATE(epoch) ON TABLE public.saga TO payments_service;

GRANT UPDATE(reason) ON TABLE public.saga TO payments_service;

GRANT UPDATE(reason_text) ON TABLE public.saga TO payments_service;

GRANT UPDATE(rail_reference) ON TABLE public.saga TO payments_service;

GRANT UPDATE(updated_at) ON TABLE public.saga TO payments_service;

GRANT UPDATE(hold) ON TABLE public.saga TO payments_service;

GRANT UPDATE(hold_text) ON TABLE public.saga TO payments_service;

GRANT UPDATE(held_state) ON TABLE public.saga TO payments_service;

GRANT UPDATE(doubt) ON TABLE public.saga TO payments_service;

GRANT UPDATE(returned) ON TABLE public.saga TO payments_service;

GRANT UPDATE(moving) ON TABLE public.saga TO payments_service;

GRANT UPDATE(written_off) ON TABLE public.saga TO payments_service;

GRANT UPDATE(leg) ON TABLE public.saga TO payments_service;

GRANT UPDATE(reserve_leg) ON TABLE public.saga TO payments_service;

GRANT UPDATE(orders) ON TABLE public.saga TO payments_service;

GRANT UPDATE(judged) ON TABLE public.saga TO payments_service;

GRANT UPDATE(step_since) ON TABLE public.saga TO payments_service;

GRANT UPDATE(ended_badly) ON TABLE public.saga TO payments_service;

GRANT UPDATE(absent_since) ON TABLE public.saga TO payments_service;

GRANT UPDATE(planned_at) ON TABLE public.saga TO payments_service;

GRANT UPDATE(judged_settled) ON TABLE public.saga TO payments_service;

GRANT UPDATE(judged_returned) ON TABLE public.saga TO payments_service;

GRANT UPDATE(judged_refusals) ON TABLE public.saga TO payments_service;

GRANT UPDATE(judged_odd) ON TABLE public.saga TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.saga_heard TO payments_service;

GRANT UPDATE(n) ON TABLE public.saga_heard TO payments_service;

GRANT UPDATE(payout_ids) ON TABLE public.saga_heard TO payments_service;

GRANT SELECT,INSERT,DELETE ON TABLE public.saga_lease TO payments_service;

GRANT UPDATE(ends_at) ON TABLE public.saga_lease TO payments_service;

GRANT SELECT,INSERT ON TABLE public.saga_slot TO payments_service;

GRANT UPDATE(claims) ON TABLE public.saga_slot TO payments_service;

GRANT SELECT,INSERT ON TABLE public.step_log TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission TO payments_service;

GRANT UPDATE(state) ON TABLE public.submission TO payments_service;

GRANT UPDATE(tries) ON TABLE public.submission TO payments_service;

GRANT UPDATE(due_at) ON TABLE public.submission TO payments_service;

GRANT UPDATE(owner) ON TABLE public.submission TO payments_service;

GRANT UPDATE(epoch) ON TABLE public.submission TO payments_service;

GRANT UPDATE(lease_ends_at) ON TABLE public.submission TO payments_service;

GRANT UPDATE(reason) ON TABLE public.submission TO payments_service;

GRANT UPDATE(reason_text) ON TABLE public.submission TO payments_service;

GRANT UPDATE(sent_at) ON TABLE public.submission TO payments_service;

GRANT UPDATE(changed_at) ON TABLE public.submission TO payments_service;

GRANT UPDATE(settles_at) ON TABLE public.submission TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission_day TO payments_service;

GRANT UPDATE(next_modifier) ON TABLE public.submission_day TO payments_service;

GRANT UPDATE(window_at) ON TABLE public.submission_day TO payments_service;

GRANT UPDATE(in_window) ON TABLE public.submission_day TO payments_service;

GRANT UPDATE(cut_at) ON TABLE public.submission_day TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission_directory TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission_item TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission_number TO payments_service;

GRANT UPDATE(cycle) ON TABLE public.submission_number TO payments_service;

GRANT UPDATE(next_number) ON TABLE public.submission_number TO payments_service;

GRANT SELECT,INSERT ON TABLE public.submission_upload TO payments_service;

GRANT SELECT,INSERT ON TABLE public.timeline TO payments_service;

GRANT UPDATE(system_id) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(timeline_id) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(seen_at) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(recovering_since) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(why) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(ended_at) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(ended_by) ON TABLE public.timeline TO payments_service;

GRANT UPDATE(recovery_id) ON TABLE public.timeline TO payments_service;

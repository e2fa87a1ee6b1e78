-- Sealing anew without the right to change evidence.
--
-- 0035 let the service's role update what is sealed. Whoever had taken the service over could have written anything over the bank's files
-- and the recipients' accounts. Now only this function, which belongs to the owner of the schema, writes there. It puts an envelope in the
-- place of another one while a rotation goes on: the new one is under the rotation's key, the old one under another key, and both hold as
-- many bytes. So a value is replaced once for each change of keys, and the rotation's row stays.
--
-- An envelope is 1 | length of the key's id | id | nonce (12) | sealed bytes | tag (16). heads: the old envelopes up to their sealed bytes.
-- PL/pgSQL: Citus plans the statements of such a function one by one, on the coordinator, and does not take parameters of SQL functions.
CREATE FUNCTION keys_reseal(target text, book bigint, k1 text[], k2 text[], k3 text[], heads bytea[], fresh bytea[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
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

REVOKE ALL ON FUNCTION keys_reseal(text, bigint, text[], text[], text[], bytea[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keys_reseal(text, bigint, text[], text[], text[], bytea[], bytea[]) TO payments_service;

REVOKE UPDATE (name_sealed, account_sealed) ON recipient FROM payments_service;
REVOKE UPDATE (response) ON idempotency FROM payments_service;
REVOKE UPDATE (content_sealed) ON submission FROM payments_service;
REVOKE UPDATE (content_sealed) ON inbox FROM payments_service;
REVOKE UPDATE (content_sealed) ON inbox_version FROM payments_service;
REVOKE UPDATE (raw_sealed) ON inbox_exception FROM payments_service;

package idempotency

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

const (
	rekeyBatch = 500     // requests that are resealed at a time
	rekeyBytes = 4 << 20 // of their answers; the last one may be more than is left
)

// sealedRow is what is kept of a request as it lies in the database.
type sealedRow struct {
	Organisation domain.OrganisationID `db:"organisation_id"`
	Key          string                `db:"key"`
	Request      []byte                `db:"request"`
	Seed         []byte                `db:"seed"`
	Answer       []byte                `db:"answer"`
}

// Rekey seals what is kept of requests anew where it was sealed by another key than the sealer
// seals by now, and returns how many requests those were. It tells progress of each batch. What
// was done stays done: it may be stopped at any time and called again, by several at once, while
// requests come in. What is a day old is left as it is, since nobody reads it. It fails at the
// first request that the sealer does not open.
func (k *Keys) Rekey(ctx context.Context, progress func(done, total int64)) (int64, error) {
	const (
		stale = `
			created_at >= now() - make_interval(secs => $2)
			AND (substring(request FROM 1 FOR length($1::bytea)) <> $1 OR substring(seed FROM 1 FOR length($1::bytea)) <> $1
				OR substring(answer FROM 1 FOR length($1::bytea)) <> $1)`
		count = `SELECT count(*) FROM idempotency_keys WHERE ` + stale
		query = `
			SELECT organisation_id, key, request, seed, answer
			FROM (
				SELECT *, sum(octet_length(answer)) OVER (
					ORDER BY organisation_id, key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
				) AS before
				FROM (
					SELECT *
					FROM idempotency_keys
					WHERE (organisation_id, key) > ($3, $4) AND ` + stale + `
					ORDER BY organisation_id, key
					LIMIT $5
				) AS next
			) AS next
			WHERE coalesce(before, 0) < $6
			ORDER BY organisation_id, key`
	)
	var total, done int64
	mark := k.sealer.Mark()
	if err := k.pool.QueryRow(ctx, count, mark, kept.Seconds()).Scan(&total); err != nil {
		return 0, fmt.Errorf("count requests under idempotency keys: %w", err)
	}
	for last := (sealedRow{}); ; {
		rows, _ := k.pool.Query(ctx, query, mark, kept.Seconds(), last.Organisation, last.Key, rekeyBatch, rekeyBytes) // CollectRows reports the error
		batch, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
		if err != nil {
			return done, fmt.Errorf("read requests under idempotency keys: %w", err)
		}
		if len(batch) == 0 {
			return done, nil
		}
		n, err := k.reseal(ctx, batch)
		if err != nil {
			return done, err
		}
		last = batch[len(batch)-1]
		done += n
		progress(done, max(total, done))
	}
}

// reseal seals rows anew, all or none, but for those that went meanwhile, and for answers that
// came meanwhile. It returns how many rows it did.
func (k *Keys) reseal(ctx context.Context, rows []sealedRow) (int64, error) {
	const query = `
		UPDATE idempotency_keys i
		SET request = n.request, seed = n.seed, answer = CASE WHEN i.answer = n.old_answer THEN n.answer ELSE i.answer END
		FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
			AS n(organisation_id, key, request, seed, answer, old_seed, old_answer)
		WHERE i.organisation_id = n.organisation_id AND i.key = n.key AND i.seed = n.old_seed`
	organisations, keys := make([]string, len(rows)), make([]string, len(rows))
	requests, seeds, answers := make([][]byte, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
	oldSeeds, oldAnswers := make([][]byte, len(rows)), make([][]byte, len(rows))
	for i, old := range rows {
		organisations[i], keys[i], oldSeeds[i], oldAnswers[i] = string(old.Organisation), old.Key, old.Seed, old.Answer
		row, err := k.resealed(old)
		if err != nil {
			return 0, err
		}
		requests[i], seeds[i], answers[i] = row.Request, row.Seed, row.Answer
	}
	tag, err := k.pool.Exec(ctx, query, organisations, keys, requests, seeds, answers, oldSeeds, oldAnswers)
	if err != nil {
		return 0, fmt.Errorf("reseal requests under idempotency keys: %w", err)
	}
	return tag.RowsAffected(), nil
}

// resealed returns row with all that is in it sealed anew.
func (k *Keys) resealed(row sealedRow) (sealedRow, error) {
	r := Request{Organisation: row.Organisation, Key: row.Key}
	for column, sealed := range map[string]*[]byte{"request": &row.Request, "seed": &row.Seed, "answer": &row.Answer} {
		if *sealed == nil {
			continue
		}
		plain, err := k.sealer.Unseal(r.id(column), *sealed)
		if err != nil {
			return row, fmt.Errorf("open what is kept of the request under Idempotency-Key %s of %s: %w", row.Key, row.Organisation, err)
		}
		*sealed = k.sealer.Seal(r.id(column), plain)
	}
	return row, nil
}

// A Share says of how many requests something is sealed by a key.
type Share struct {
	Mark     []byte `db:"mark"` // of the key; see [Sealer]
	Requests int64  `db:"requests"`
}

// Shares returns by which keys what is kept was sealed, also by those that the sealer does not
// have. Of a request that is under way while keys are changed, two keys may have sealed something.
func (k *Keys) Shares(ctx context.Context) ([]Share, error) {
	const query = `
		SELECT substring(sealed FROM 1 FOR length($1::bytea)) AS mark, count(DISTINCT (organisation_id, key)) AS requests
		FROM idempotency_keys
		CROSS JOIN unnest(ARRAY[request, seed, answer]) AS sealed
		WHERE sealed IS NOT NULL AND created_at >= now() - make_interval(secs => $2)
		GROUP BY 1
		ORDER BY 1`
	rows, _ := k.pool.Query(ctx, query, k.sealer.Mark(), kept.Seconds()) // CollectRows reports the error
	shares, err := pgx.CollectRows(rows, pgx.RowToStructByName[Share])
	if err != nil {
		return nil, fmt.Errorf("count requests under idempotency keys: %w", err)
	}
	return shares, nil
}

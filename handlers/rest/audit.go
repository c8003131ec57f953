package rest

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
)

// ReadCheckpoint shows the newest signed state of the log.
func (s *Server) ReadCheckpoint(ctx context.Context, r ReadCheckpointRequestObject) (ReadCheckpointResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	c, err := s.cfg.Notary.Checkpoint(ctx, eventstore.Position(value(r.Params.LedgerMinPosition)))
	if err != nil {
		return nil, err
	}
	key, err := s.cfg.Notary.Key(ctx)
	if err != nil {
		return nil, err
	}
	return ReadCheckpoint200JSONResponse{Body: AuditCheckpoint{
		Checkpoint: c.Note, Origin: c.Origin, Size: c.Size, RootHash: c.Root[:], Key: key,
	}}, nil
}

// ListCheckpointKeys shows the keys that the log's states are and were signed with.
func (s *Server) ListCheckpointKeys(ctx context.Context, _ ListCheckpointKeysRequestObject) (ListCheckpointKeysResponseObject, error) {
	keys, err := s.cfg.Notary.Keys(ctx)
	if err != nil {
		return nil, err
	}
	list := CheckpointKeyList{Items: make([]CheckpointKey, len(keys)), Total: len(keys)}
	for i, key := range keys {
		list.Items[i] = CheckpointKey{Key: key.Text, Since: key.Since}
		if key.HandOver != "" {
			list.Items[i].Size, list.Items[i].Checkpoint = &key.Size, &key.HandOver
		}
	}
	return ListCheckpointKeys200JSONResponse{Body: list}, nil
}

// ProveEvent proves an event about the caller's organisation or deliveries.
func (s *Server) ProveEvent(ctx context.Context, r ProveEventRequestObject) (ProveEventResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	rec, err := s.cfg.Views.Record(ctx, organisation(ctx), eventstore.Position(r.Params.Position))
	if err != nil {
		return nil, err
	}
	p, err := s.cfg.Notary.ProveRecord(ctx, rec)
	if err != nil {
		return nil, err
	}
	return ProveEvent200JSONResponse{Body: EventProof{
		Event: ProvenEvent{
			Position: int64(rec.Position), Version: int64(rec.Version), RecordedAt: rec.RecordedAt.UTC(), ID: rec.ID, SchemaVersion: int(rec.SchemaVersion),
			Stream: rec.Stream, Type: rec.Type, Data: string(rec.Data), Metadata: string(rec.Metadata),
		},
		PreviousHash: p.Previous, Hash: rec.Hash, LeafIndex: int64(rec.Position) - 1, TreeSize: p.Checkpoint.Size,
		AuditPath: bytesOf(p.Path), Checkpoint: p.Checkpoint.Note,
	}}, nil
}

// ProveConsistency proves that the events of an earlier checkpoint are the first of a later one.
func (s *Server) ProveConsistency(ctx context.Context, r ProveConsistencyRequestObject) (ProveConsistencyResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	from := r.Params.From
	to, err := s.later(ctx, from, r.Params.To)
	if err != nil {
		return nil, err
	}
	path, err := s.cfg.Notary.ProveTree(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return ProveConsistency200JSONResponse{Body: ConsistencyProof{
		From: from, To: to.Size, ConsistencyPath: bytesOf(path), Checkpoint: to.Note,
	}}, nil
}

// later returns the checkpoint over the first size events, or where that is not said the newest one, which is over
// from at least.
func (s *Server) later(ctx context.Context, from int64, size *int64) (c proof.Checkpoint, err error) {
	if size == nil {
		head, err := s.cfg.Store.Head(ctx)
		if err != nil {
			return c, err
		}
		if from > int64(head) {
			return c, invalid([]domain.Fault{{Field: "from", Error: fmt.Sprintf("is beyond the end of the log, which is at %d", head), Provided: from}})
		}
		return s.cfg.Notary.Checkpoint(ctx, eventstore.Position(from))
	}
	if *size < from {
		return c, invalid([]domain.Fault{{Field: "to", Error: "must not be less than from", Provided: *size}})
	}
	c, err = s.cfg.Notary.Kept(ctx, *size)
	if errors.Is(err, pgx.ErrNoRows) {
		err = domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "no checkpoint over %d events was signed", *size)
	}
	return c, err
}

// bytesOf returns hashes as the API shows them.
func bytesOf[H ~[32]byte](hashes []H) [][]byte {
	shown := make([][]byte, len(hashes))
	for i, h := range hashes {
		shown[i] = h[:]
	}
	return shown
}

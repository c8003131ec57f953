package rest

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListDestinations shows a page of a delivery's destinations.
func (s *Server) ListDestinations(ctx context.Context, r ListDestinationsRequestObject) (ListDestinationsResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if _, err := s.cfg.Views.Delivery(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Destinations(ctx, id, p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]Destination, len(list.Items))
	for i, d := range list.Items {
		items[i] = showDestination(d)
	}
	cursor, link := p.next(list.More, lastKey(list, func(d projections.Destination) string { return string(d.ID) }))
	return ListDestinations200JSONResponse{
		Body: DestinationPage{
			Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor,
		},
		Headers: ListDestinations200ResponseHeaders{Link: link},
	}, nil
}

// ReadDestination shows a destination.
func (s *Server) ReadDestination(ctx context.Context, r ReadDestinationRequestObject) (ReadDestinationResponseObject, error) {
	id := domain.DeliveryID(r.DeliveryID)
	if _, err := s.cfg.Views.Delivery(ctx, organisation(ctx), id); err != nil {
		return nil, err
	}
	d, err := s.cfg.Views.Destination(ctx, id, domain.DestinationID(r.DestinationID))
	if err != nil {
		return nil, err
	}
	return ReadDestination200JSONResponse{Body: showDestination(d), Headers: ReadDestination200ResponseHeaders{ETag: etag(d.Version)}}, nil
}

// CreateDestination adds a destination to a delivery.
func (s *Server) CreateDestination(ctx context.Context, r CreateDestinationRequestObject) (CreateDestinationResponseObject, error) {
	id, org := domain.DeliveryID(r.DeliveryID), organisation(ctx)
	if err := s.mustExist(ctx, org, id); err != nil {
		return nil, err
	}
	add, err := s.createDestination(seed(ctx), org, id, *r.Body)
	if err != nil {
		return nil, err
	}
	if err := s.keep(ctx, add.secrets); err != nil {
		return nil, err
	}
	o, err := s.execute(ctx, add.cmd)
	if err != nil {
		return nil, err
	}
	d, err := s.destination(ctx, o, add.cmd.Destination.ID, true)
	if err != nil {
		return nil, err
	}
	return CreateDestination201JSONResponse{
		Body: showSecretOnce(d, add.made),
		Headers: CreateDestination201ResponseHeaders{
			ETag: etag(d.Version), Location: destinationsPath(r.DeliveryID) + "/" + string(d.ID), LedgerPosition: position(o.Commit),
		},
	}, nil
}

// mustExist returns a NotFound error unless org has that delivery.
func (s *Server) mustExist(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) error {
	known, err := s.deliveries.Load(ctx, domain.DeliveryStream(id))
	if err != nil {
		return err
	}
	if !known.State.Exists(org) {
		return domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", id)
	}
	return nil
}

// An addition is a destination to be added, and what it needs.
type addition struct {
	cmd     domain.AddDestination
	secrets secrets
	made    string // the signing secret that was made for it
}

// createDestination returns what a body asks for, or all that is wrong with it.
func (s *Server) createDestination(seed *domain.Seed, org domain.OrganisationID, delivery domain.DeliveryID, b NewDestination) (addition, error) {
	add := addition{secrets: secrets{}}
	wanted := changeOf(b)
	dst := settings(domain.Destination{ID: seed.DestinationID(), Type: domain.DestinationType(b.Type)}, wanted)
	if secret := authSecrets(wanted)[dst.AuthType]; secret != nil {
		dst.AuthSecret = add.secrets.add(*secret)
	}
	if b.SigningSecret != nil || dst.Type == domain.Webhook {
		signer := signerOf(seed, b.SigningSecret, value(b.Signature))
		add.made, dst.PublicKey = signer.shown, signer.public
		dst.SigningSecret = add.secrets.add(signer.text)
	}
	add.cmd = domain.AddDestination{Delivery: delivery, Organisation: org, Destination: dst}

	_, err := add.cmd.Decide(domain.Delivery{ID: "any", Organisation: org}, time.Time{}) // the rules, apart from any state
	faults, err := faultsIn(err)
	if err != nil {
		return add, err
	}
	faults = append(faults, schemeFaults(dst.Type, b.Signature, b.SigningSecret)...)
	return add, invalid(merge(faults, s.settingFaults(dst, wanted)))
}

// changeOf returns what a new destination says, as a change of an empty one.
func changeOf(b NewDestination) DestinationChange {
	return DestinationChange{
		URL: b.URL, Name: b.Name, AuthType: b.AuthType, AuthToken: b.AuthToken, Username: b.Username, Password: b.Password,
		HeaderName: b.HeaderName, HeaderValue: b.HeaderValue, TokenURL: b.TokenURL, ClientID: b.ClientID,
		ClientSecret: b.ClientSecret, Scope: b.Scope, SigningSecret: b.SigningSecret, Headers: b.Headers,
		TimeoutSeconds: b.TimeoutSeconds, MaxInFlight: b.MaxInFlight, RateLimitPerSecond: b.RateLimitPerSecond,
		RetrySchedule: b.RetrySchedule, Ordered: b.Ordered, Events: b.Events,
	}
}

// UpdateDestination changes a destination. A field that is absent keeps its value.
func (s *Server) UpdateDestination(ctx context.Context, r UpdateDestinationRequestObject) (UpdateDestinationResponseObject, error) {
	org, b := organisation(ctx), *r.Body
	kept := secrets{}
	auth := map[domain.AuthType]domain.SecretID{}
	for of, secret := range authSecrets(b) {
		if secret != nil {
			auth[of] = kept.add(*secret)
		}
	}
	var signing domain.SecretID
	if b.SigningSecret != nil {
		signing = kept.add(*b.SigningSecret)
	}
	cmd := domain.ChangeDestination{
		Delivery: domain.DeliveryID(r.DeliveryID), Organisation: org, Destination: domain.DestinationID(r.DestinationID),
		Change: func(d domain.Destination) domain.Destination { return change(d, b, auth, signing) },
	}
	matching := ifMatch(ctx, cmd, cmd.Destination)
	if err := s.checkChange(ctx, matching, b); err != nil {
		return nil, err
	}
	if err := s.keep(ctx, kept); err != nil {
		return nil, err
	}
	o, err := s.execute(ctx, matching)
	if err != nil {
		return nil, err
	}
	d, err := s.destination(ctx, o, cmd.Destination, false)
	if err != nil {
		return nil, err
	}
	return UpdateDestination200JSONResponse{Body: showDestination(d), Headers: UpdateDestination200ResponseHeaders{
		ETag: etag(d.Version), LedgerPosition: position(o.Commit),
	}}, nil
}

// checkChange returns all that is wrong with a change, before its secrets are kept.
func (s *Server) checkChange(ctx context.Context, cmd matching, b DestinationChange) error {
	d, faults, err := s.judge(ctx, cmd)
	if err != nil {
		return err
	}
	stands := d.Destinations[cmd.destination]
	return invalid(merge(faults, s.settingFaults(changeAuth(stands, b), b)))
}

// judge returns a command's delivery as it stands, and the faults for which the command would be
// refused now. If it would be refused otherwise, that is the error.
func (s *Server) judge(ctx context.Context, cmd eventstore.Command[domain.Delivery, domain.Event]) (domain.Delivery, []domain.Fault, error) {
	s.deliveries.Forget(cmd.Stream())
	known, err := s.deliveries.Load(ctx, cmd.Stream())
	if err != nil {
		return known.State, nil, err
	}
	_, err = cmd.Decide(known.State, s.now())
	faults, err := faultsIn(err)
	return known.State, faults, err
}

// DeleteDestination ends a destination.
func (s *Server) DeleteDestination(ctx context.Context, r DeleteDestinationRequestObject) (DeleteDestinationResponseObject, error) {
	cmd := domain.RemoveDestination{
		Delivery: domain.DeliveryID(r.DeliveryID), Organisation: organisation(ctx), Destination: domain.DestinationID(r.DestinationID),
	}
	o, err := s.execute(ctx, ifMatch(ctx, cmd, cmd.Destination))
	if err != nil {
		return nil, err
	}
	s.settle(ctx, o.Commit)
	return DeleteDestination204Response{Headers: DeletedResponseHeaders{LedgerPosition: position(o.Commit)}}, nil
}

// destination is like [Server.delivery], of a delivery's destination.
func (s *Server) destination(ctx context.Context, o outcome, id domain.DestinationID, created bool) (projections.Destination, error) {
	s.settle(ctx, o.Commit)
	d, err := s.cfg.Views.Destination(ctx, o.State.ID, id)
	version := eventstore.Version(o.State.Revisions[id])
	switch {
	case err == nil && d.Version >= version:
		return d, nil
	case err != nil && !created && domain.KindOf(err) != domain.NotFound:
		return d, err
	case err != nil:
		d.CreatedAt = o.Commit.RecordedAt
	}
	d.Destination, d.Delivery = o.State.Destinations[id], o.State.ID
	d.Version, d.UpdatedAt = version, o.Commit.RecordedAt
	return d, nil
}

// showDestination returns a destination as the API shows it: without secrets.
func showDestination(d projections.Destination) Destination {
	shown := Destination{
		ID: string(d.ID), DeliveryID: string(d.Delivery), Type: DestinationType(d.Type), URL: optional(d.URL), Name: optional(d.Name),
		AuthType: optional(AuthType(d.AuthType)), Username: optional(d.Username), HeaderName: optional(d.HeaderName),
		TokenURL: optional(d.TokenURL), ClientID: optional(d.ClientID), Scope: optional(d.Scope),
		Signature: optional(schemeOf(d.Destination)), SigningPublicKey: optional(d.PublicKey),
		TimeoutSeconds: optional(d.TimeoutSeconds), MaxInFlight: optional(d.MaxInFlight), RateLimitPerSecond: optional(d.RateLimit),
		Ordered: optional(d.Ordered),
		Status:  DestinationStatusActive, DisabledReason: optional(d.DisabledReason), FormerSecretSignsUntil: d.FormerEnds,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(),
	}
	if d.DisabledReason != "" {
		shown.Status = DestinationStatusDisabled
	}
	if len(d.Headers) > 0 {
		shown.Headers = &d.Headers
	}
	if len(d.RetrySchedule) > 0 {
		waits := make(RetrySchedule, len(d.RetrySchedule))
		for i, wait := range d.RetrySchedule {
			waits[i] = wait.Seconds()
		}
		shown.RetrySchedule = &waits
	}
	if len(d.Events) > 0 {
		events := make(Subscription, len(d.Events))
		for i, event := range d.Events {
			events[i] = WebhookEventName(event)
		}
		shown.Events = &events
	}
	return shown
}

// showSecretOnce returns a destination as the API shows it, with the signing secret that was made
// for it; "" when none was.
func showSecretOnce(d projections.Destination, made string) CreatedDestination {
	shown := showDestination(d)
	return CreatedDestination{
		ID: shown.ID, DeliveryID: shown.DeliveryID, Type: shown.Type, URL: shown.URL, Name: shown.Name, AuthType: shown.AuthType,
		Username: shown.Username, HeaderName: shown.HeaderName, TokenURL: shown.TokenURL, ClientID: shown.ClientID, Scope: shown.Scope,
		Headers: shown.Headers, TimeoutSeconds: shown.TimeoutSeconds, MaxInFlight: shown.MaxInFlight,
		RateLimitPerSecond: shown.RateLimitPerSecond, RetrySchedule: shown.RetrySchedule, Ordered: shown.Ordered, Events: shown.Events,
		Status: shown.Status, DisabledReason: shown.DisabledReason, FormerSecretSignsUntil: shown.FormerSecretSignsUntil,
		CreatedAt: shown.CreatedAt, UpdatedAt: shown.UpdatedAt, SigningSecret: optional(made),
		Signature: shown.Signature, SigningPublicKey: shown.SigningPublicKey,
	}
}

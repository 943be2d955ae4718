package cluster

import (
	"bytes"
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// mostInline is how large a payload may be inside its message. Larger ones are
// objects, which only the message names: a consumer that reads ahead should not
// have to hold them.
const mostInline = 512 << 10

// mostInline is how large a payload may be inside its message here: a server may
// allow less than usual.
func (b *broker) mostInline() int {
	return min(mostInline, max(int(b.nc.MaxPayload())-lineRoom, 0))
}

const lineRoom = 64 << 10 // more than the first line takes, and a header

// outsource returns the payload for a message: data, or nothing if that is too
// large, and then it is stored as an object, whose name is put into x. It blocks
// until that is done.
func (b *broker) outsource(ctx context.Context, x *extras, name string, data []byte) ([]byte, error) {
	if len(data) <= b.mostInline() {
		return data, nil
	}
	store, err := b.objects(ctx)
	if err == nil {
		_, err = store.Put(ctx, jetstream.ObjectMeta{Name: name}, bytes.NewReader(data))
	}
	if err != nil {
		return nil, failure("a payload of %d bytes: %v", len(data), err)
	}
	x.Object = name
	return nil, nil
}

// fetch returns an object.
func (b *broker) fetch(ctx context.Context, name string) ([]byte, error) {
	store, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	return store.GetBytes(ctx, name)
}

// missing reports whether an object, which could not be fetched, isn't there.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrInvalidStoreName) || errors.Is(err, jetstream.ErrDigestMismatch)
}

// discard deletes an object that nobody needs any more; if that fails, it goes
// when it is as old as results get.
func (b *broker) discard(ctx context.Context, name string) {
	store, err := b.objects(ctx)
	if err == nil {
		err = store.Delete(ctx, name)
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		b.log.Debug("antflow: an object was not deleted", "object", name, "err", err)
	}
}

// objects returns the store, made with the first large payload.
func (b *broker) objects(ctx context.Context) (jetstream.ObjectStore, error) {
	b.storeMu.Lock()
	defer b.storeMu.Unlock()
	if b.store != nil {
		return b.store, nil
	}
	store, err := b.js.ObjectStore(ctx, b.space.bucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		info := b.results.CachedInfo().Config
		store, err = b.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket:      b.space.bucket(),
			Description: "antflow: inputs and results that are too large for messages",
			TTL:         info.MaxAge,
			Replicas:    info.Replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			store, err = b.js.ObjectStore(ctx, b.space.bucket())
		}
	}
	if err != nil {
		return nil, err
	}
	b.store = store
	return store, nil
}

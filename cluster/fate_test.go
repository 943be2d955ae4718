package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/antflow/antflow/cluster"
)

// What is not known to be stored or refused is not given up.
func TestFate(t *testing.T) {
	api := func(status int, code jetstream.ErrorCode, text string) error {
		return fmt.Errorf("x: %w", &jetstream.APIError{Code: status, ErrorCode: code, Description: text})
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, "stored"},
		{api(400, 10071, "wrong last sequence: 3"), "existing"},
		{api(400, 10071, "wrong last sequence: 10"), "existing"},
		{api(400, 10071, "wrong last sequence: 0"), "unknown"},
		{api(503, 10077, "maximum messages per subject exceeded"), "existing"},
		{api(503, 10077, "maximum messages exceeded"), "full"},
		{api(400, 10002, "resource limits exceeded for account"), "full"},
		{api(500, 10023, "insufficient resources"), "unknown"},
		{api(503, 10008, "JetStream system temporarily unavailable"), "unknown"},
		{api(400, 10164, "last sequence by subject mismatch"), "unknown"},
		{nats.ErrTimeout, "unknown"},
		{nats.ErrReconnectBufExceeded, "unknown"},
		{context.DeadlineExceeded, "unknown"},
		{errors.New("anything"), "unknown"},
		{fmt.Errorf("x: %w", nats.ErrMaxPayload), "refused"},
		{nats.ErrBadSubject, "refused"},
		{api(400, 10054, "message size exceeds maximum allowed"), "refused"},
	} {
		if got := cluster.Fate(test.err); got != test.want {
			t.Errorf("%v: %s, not %s", test.err, got, test.want)
		}
	}
}

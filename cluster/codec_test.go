package cluster_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/antflow/antflow/cluster"
)

type parcel struct {
	Name   string
	Weight float64
	Sent   time.Time
	Labels map[string][]byte
	Inside *parcel
}

var parcels = []parcel{
	{},
	{Name: "ä\n\"<&>", Weight: math.SmallestNonzeroFloat64, Sent: time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)},
	{Labels: map[string][]byte{"a": {0, 255}, "": []byte("b")}, Inside: &parcel{Name: "inner", Inside: &parcel{}}},
}

// A value comes out of a codec as it went in, and doesn't share memory with what
// it was read from.
func TestCodecs(t *testing.T) {
	for _, c := range []cluster.Codec{cluster.JSON, cluster.Gob} {
		t.Run(c.Name(), func(t *testing.T) {
			for _, in := range parcels {
				data, err := c.Marshal(in)
				if err != nil {
					t.Fatal(err)
				}
				var out parcel
				if err := c.Unmarshal(data, &out); err != nil {
					t.Fatal(err)
				}
				clear(data)
				if !reflect.DeepEqual(in, out) {
					t.Errorf("%+v became %+v", in, out)
				}
			}
			var raw []byte
			if data, err := c.Marshal([]byte("bytes")); err != nil || c.Unmarshal(data, &raw) != nil || !bytes.Equal(raw, []byte("bytes")) {
				t.Errorf("%q, %v", raw, err)
			}
			var none struct{}
			if data, err := c.Marshal(1); err != nil || c.Unmarshal(data, &none) == nil {
				t.Errorf("a number decoded as a struct, %v", err)
			}
			for _, data := range [][]byte{nil, {}, []byte("{"), []byte("\xff\xff\xff\xff"), []byte(`{"Name": 1}`)} {
				var out parcel
				if c.Unmarshal(data, &out) == nil {
					t.Errorf("%q decoded", data)
				}
			}
			if _, err := c.Marshal(func() {}); err == nil {
				t.Error("a function was encoded")
			}
		})
	}
	if cluster.JSON.Name() != "json" || cluster.Gob.Name() != "gob" {
		t.Error("messages of other versions name the codecs otherwise")
	}
}

// What JSON can't tell apart, or can't have, is what Gob is for.
func TestGobKeepsMore(t *testing.T) {
	type all struct {
		Number   complex128
		Infinite float64
		Keys     map[parcelKey]int
	}
	in := all{1i, math.Inf(-1), map[parcelKey]int{{1, "a"}: 2}}
	if _, err := cluster.JSON.Marshal(in); err == nil {
		t.Error("JSON has learnt it")
	}
	data, err := cluster.Gob.Marshal(in)
	var out all
	if err != nil || cluster.Gob.Unmarshal(data, &out) != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%+v, %v", out, err)
	}
}

type parcelKey struct {
	N int
	S string
}

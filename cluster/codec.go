package cluster

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
)

// A Codec encodes inputs and results. The worker decodes an input by the codec
// that the message names, and encodes the result by the same one, so all
// processes need those that are in use; see [Codecs]. Its methods must be safe
// for concurrent use; what they panic with fails the task.
type Codec interface {
	// Name is what messages call it: letters, digits, - and _, never changed.
	Name() string

	// Marshal encodes v.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes into v, a pointer. It must not keep data.
	Unmarshal(data []byte, v any) error
}

// JSON is the codec of encoding/json, and the default.
var JSON Codec = jsonCodec{}

// Gob is the codec of encoding/gob: for types that JSON doesn't keep.
var Gob Codec = gobCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

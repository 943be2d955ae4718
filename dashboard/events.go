package dashboard

import (
	"errors"
	"net/http"
	"time"
)

const (
	writeTimeout = 10 * time.Second // for a piece of a message
	piece        = 32 << 10
)

// serveEvents streams what happens to a page until that leaves, falls behind or
// the server shuts down. There are ticks all the time, so that neither side and
// nobody in between takes the connection for dead.
func (h *handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // proxies
	if r.ProtoMajor == 1 {
		header.Set("Connection", "close") // the deadlines of this stream are no others'
	}
	if r.Method == http.MethodHead {
		return
	}
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	v, s := h.hub.join(server)
	if v == nil {
		header.Set("Retry-After", "10")
		fail(w, http.StatusServiceUnavailable, "too many viewers, or the server shuts down")
		return
	}
	defer h.hub.leave(v)
	out := &stream{w: w, rc: http.NewResponseController(w), gone: v.gone}
	if err := out.rc.Flush(); errors.Is(err, http.ErrNotSupported) {
		fail(w, http.StatusInternalServerError, "the server can't stream: the %T that the handler was given has no Flush", w)
		return
	}
	hello := h.hub.greet(v, s, r.Context().Done())
	if hello == nil || out.write(hello) != nil {
		return
	}
	for {
		select {
		case message := <-v.queue:
			if out.write(message) != nil {
				return
			}
		case <-v.gone:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// A stream writes messages, each piece with a deadline of its own.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	gone <-chan struct{} // ends it between two pieces
}

var errGone = errors.New("the viewer was dropped")

func (s *stream) write(message []byte) error {
	for len(message) > 0 {
		select {
		case <-s.gone:
			return errGone
		default:
		}
		n := min(len(message), piece)
		s.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // where the server has deadlines
		if _, err := s.w.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
		if err := s.rc.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// event is a message of the stream.
func event(name string, data []byte) []byte {
	message := make([]byte, 0, len(name)+len(data)+16)
	message = append(message, "event: "...)
	message = append(message, name...)
	message = append(message, "\ndata: "...)
	message = append(message, data...)
	return append(message, "\n\n"...)
}

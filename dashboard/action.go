package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
)

const (
	mostBody   = 4 << 10
	mostWanted = 1 << 20 // workers
)

// An action is what a viewer asks for.
type action struct {
	Source  int     `json:"source"`
	Do      string  `json:"do"`
	ID      *uint64 `json:"id"`
	Workers int     `json:"workers"`
	Stage   string  `json:"stage"`
}

// badAction is the error of an action that can't be, whatever the state.
type badAction string

func (b badAction) Error() string { return string(b) }

func (h *handler) serveAction(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.Check(r); err != nil {
		fail(w, http.StatusForbidden, "the request comes from another site: %v", err)
		return
	}
	if h.allow == nil || !h.allow(r) {
		fail(w, http.StatusForbidden, "actions are not allowed; see dashboard.AllowActions")
		return
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "the content type %q is not application/json", errtext.Clip(kind, mostName))
		return
	}
	var a action
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	body.DisallowUnknownFields()
	err := body.Decode(&a)
	if err == nil && body.More() {
		err = errors.New("there is more than one")
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "the body is no action: %s", errtext.Clip(err.Error(), mostText))
		return
	}
	if a.Source < 0 || a.Source >= len(h.sources) {
		fail(w, http.StatusBadRequest, "source %d is no number from 0 to %d", a.Source, len(h.sources)-1)
		return
	}
	if a.Do == "resize" && (a.Workers < 1 || a.Workers > mostWanted) {
		fail(w, http.StatusBadRequest, "%d workers: the number must be from 1 to %d", a.Workers, mostWanted)
		return
	}
	switch err := h.sources[a.Source].act(a); {
	case err == nil:
		answer(w, struct {
			Done bool `json:"done"`
		}{true})
	case errors.As(err, new(badAction)):
		fail(w, http.StatusBadRequest, "%v", err)
	default:
		fail(w, http.StatusConflict, "%v", err)
	}
}

func (x *executorSource) act(a action) error {
	switch a.Do {
	case "cancel":
		if a.ID == nil {
			return badAction("the id of the task to cancel is missing")
		}
		if !x.e.Cancel(*a.ID) {
			return fmt.Errorf("task %d has settled, or there is none", *a.ID)
		}
	case "resize":
		x.e.Resize(a.Workers)
	case "drain":
		return x.e.Shutdown(context.Background(), antflow.NoWait())
	default:
		return badAction(fmt.Sprintf("%q is nothing that an executor can be asked for", errtext.Clip(a.Do, mostName)))
	}
	return nil
}

func (x *pipelineSource) act(a action) (err error) {
	if a.Do != "resize" {
		return badAction(fmt.Sprintf("%q is nothing that a pipeline can be asked for", errtext.Clip(a.Do, mostName)))
	}
	// Whether the run is there, and what its stages are, changes: it is only
	// known by the call.
	defer func() {
		if text, ok := recover().(string); ok {
			err = errors.New(strings.TrimPrefix(text, "antflow: "))
		}
	}()
	x.m.Resize(a.Stage, a.Workers)
	return nil
}

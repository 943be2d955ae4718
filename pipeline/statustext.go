package pipeline

import (
	"context"
	"strings"

	"github.com/antflow/antflow"
	"github.com/antflow/antflow/internal/errtext"
	"github.com/antflow/antflow/internal/option"
)

// statusTexts are what calls said of themselves, with [antflow.SetStatus]. A call
// ends without the lock, so what it said stays for a while: whoever reads it asks
// the call, and those that have ended are cleared out when there are many.
type statusTexts struct {
	of   map[statusKey]statusText
	many int // when to clear out
}

// A statusKey is an item at a stage.
type statusKey struct {
	id   uint64
	pool uint32
}

type statusText struct {
	call *callContext
	text string
}

// mostStatus is the bytes that are kept of a text.
const mostStatus = 256

// statusOf is a call as what has a status.
type statusOf callContext

// SetStatus implements [option.StatusSetter].
func (s *statusOf) SetStatus(text string) {
	c := (*callContext)(s)
	text = strings.Clone(errtext.Clip(text, mostStatus))
	e := c.e
	e.mu.Lock()
	if !c.ended() {
		e.texts.set(statusKey{c.id, c.where / mostCalls}, statusText{c, text})
	}
	e.unlock()
}

func (t *statusTexts) set(k statusKey, v statusText) {
	if t.of == nil {
		t.of, t.many = make(map[statusKey]statusText), 64
	}
	if len(t.of) >= t.many {
		for k, v := range t.of {
			if v.call.ended() {
				delete(t.of, k)
			}
		}
		t.many = max(64, 2*len(t.of))
	}
	t.of[k] = v
}

// statusTextLocked is what the call of an item that runs said.
func (e *engine) statusTextLocked(it *item) string {
	site := &e.plan.sites[it.site]
	if len(e.texts.of) == 0 || site.kind != siteStage {
		return ""
	}
	if v := e.texts.of[statusKey{it.id, uint32(site.pool)}]; v.call != nil && !v.call.ended() {
		return v.text
	}
	return ""
}

// A stepContext is the context of a [Step] that is a task of its own: what that
// says of itself, the item says, too.
type stepContext struct {
	context.Context
	call *callContext
}

// Value implements [context.Context].
func (s stepContext) Value(key any) any {
	if _, ok := key.(option.Status); ok {
		return s
	}
	return s.Context.Value(key)
}

// SetStatus implements [option.StatusSetter].
func (s stepContext) SetStatus(text string) {
	(*statusOf)(s.call).SetStatus(text)
	antflow.SetStatus(s.Context, text)
}

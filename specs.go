package antflow

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// spec is what the options say of a task. Once built it is read-only and may
// be shared by any number of tasks.
type spec struct {
	e            *Executor // whose tasks they are
	timeout      time.Duration
	queueTimeout time.Duration
	sem          Semaphore
	limiter      RateLimiter
	priority     int // that task.above is added to
	name         string
	retryDelay   time.Duration // what RetryDelay says, unless there is a backoff
	backoff      Backoff
	retryIf      func(error) bool
	retries      int32
	nonBlocking  bool
	own          bool  // it has what the executor's defaults have not and is the user's
	told         *told // what only [SettingsOf] wants to know; nil in an executor
}

// told is what options say that isn't an executor's business.
type told struct {
	key   string
	queue string
	local []string // options that only this process can follow
}

// tellLocal notes the name of an option that only this process can follow.
func (s *spec) tellLocal(name string) {
	if s.told != nil && !slices.Contains(s.told.local, name) {
		s.told.local = append(s.told.local, name)
	}
}

// tellAnew has told say what s says after that was replaced as a whole.
func (s *spec) tellAnew() {
	if s.told == nil {
		return
	}
	*s.told = told{}
	for _, o := range [...]struct {
		name string
		has  bool
	}{
		{"RetryBackoff", s.backoff != nil},
		{"RetryIf", s.retryIf != nil},
		{"WithSemaphore", s.sem != nil},
		{"WithRateLimit", s.limiter != nil},
	} {
		if o.has {
			s.tellLocal(o.name)
		}
	}
}

// equal compares two specs of one executor of which none has anything of its
// own that is the user's, so that all of that is the same if it is there.
func (s *spec) equal(o *spec) bool {
	return s.priority == o.priority && s.retries == o.retries && s.retryDelay == o.retryDelay &&
		(s.backoff == nil) == (o.backoff == nil) && s.timeout == o.timeout &&
		s.queueTimeout == o.queueTimeout && s.nonBlocking == o.nonBlocking && s.name == o.name
}

func applyTaskOptions(s *spec, opts []TaskOption) {
	for i, o := range opts {
		must(o != nil, "nil TaskOption at index %d", i)
		o.applyTask(s)
	}
}

// specOf is base with opts applied, and what the priority is above its own.
func (e *Executor) specOf(base *spec, opts []TaskOption) (sp *spec, above int16) {
	if len(opts) == 0 {
		return base, 0
	}
	return e.buildSpec(base, opts)
}

// scratchSpecs are blank; a spec is kept only if there is none to be shared.
var scratchSpecs = sync.Pool{New: func() any { return new(spec) }}

func (e *Executor) buildSpec(base *spec, opts []TaskOption) (sp *spec, above int16) {
	if p, ok := opts[0].(priorityOption); ok && len(opts) == 1 {
		if d, ok := difference(int(p), base.priority); ok {
			return base, d
		}
	}
	s := scratchSpecs.Get().(*spec)
	*s = *base
	s.own = false
	applyTaskOptions(s, opts)
	sp, above = e.internSpec(base, s)
	*s = spec{}
	scratchSpecs.Put(s)
	return sp, above
}

// difference is p-q, if that is small. Where it overflows, so does the sum that
// undoes it.
func difference(p, q int) (d int16, ok bool) { return int16(p - q), p-q == int(int16(p-q)) }

// internSpec returns a spec that says what s says, one that other tasks have
// already where it can. Since options are mostly given in the same few ways,
// that is mostly so; and a priority alone takes no spec, as long as it is near
// to that of base.
func (e *Executor) internSpec(base, s *spec) (sp *spec, above int16) {
	if d, ok := difference(s.priority, base.priority); ok {
		s.priority, above = base.priority, d
	} else {
		above = int16(s.priority & (1<<15 - 1))
		s.priority -= int(above)
	}
	if !s.own && s.equal(base) {
		return base, above
	}
	if s.own = s.own || base.own; !s.own && len(s.name) <= mostSharedName {
		return e.specTable().share(s), above
	}
	sp = new(spec)
	*sp = *s
	return sp, above
}

// A specTable has specs that were used lately, so that the next task with equal
// options shares one. It is looked at without a lock: the specs are read-only,
// and that two Submits miss what the other one brings only costs memory. What
// it keeps it keeps for as long as the executor is there, so that has to be
// little and nothing of the user's: no function, no semaphore, and of a name a
// copy.
type specTable [32]atomic.Pointer[spec]

// A longer name is hardly one of many tasks.
const mostSharedName = 64

var specSeed = maphash.MakeSeed()

func (e *Executor) specTable() *specTable {
	t := e.specs.Load()
	if t == nil {
		t = new(specTable)
		if !e.specs.CompareAndSwap(nil, t) {
			t = e.specs.Load()
		}
	}
	return t
}

// share returns a spec equal to s. Each has two places where it may be, so that
// two in frequent use don't replace each other.
func (t *specTable) share(s *spec) *spec {
	i := s.hash() % uint64(len(t))
	first, second := &t[i], &t[i^1]
	was := first.Load()
	if was != nil && was.equal(s) {
		return was
	}
	if o := second.Load(); o != nil && o.equal(s) {
		return o
	}
	kept := new(spec)
	*kept = *s
	kept.name = strings.Clone(s.name)
	if was != nil {
		second.Store(was)
	}
	first.Store(kept)
	return kept
}

func (s *spec) hash() uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(s.priority)
	for _, v := range [...]uint64{uint64(s.retries), uint64(s.retryDelay), uint64(s.timeout), uint64(s.queueTimeout)} {
		h = (h ^ h>>29 ^ v) * odd
	}
	if s.nonBlocking {
		h ^= odd
	}
	if s.name != "" {
		h ^= maphash.String(specSeed, s.name)
	}
	return h >> 32
}

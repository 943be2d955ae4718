package pipeline

import (
	"math"
	"reflect"
	"slices"
	"strings"
)

// A plan is a pipeline laid out: sites, each of which knows where its items go
// next. Site 0 is the end. It is read-only, and all runs share it.
type plan struct {
	sites []site
	entry int

	pools   []*stageDef // each stage once, upstream first
	poolOf  map[*stageDef]int
	wraps   bool  // histories are results
	gathers []int // the sites that gather, upstream first
	fans    []int // the sites where items are made into parts, the last one first
	points  []int // the sites whose items have to come in order, the end first; then those of fans
	classes int   // types of values
}

type siteKind uint8

const (
	siteEnd     siteKind = iota
	siteStage            // an item waits for a worker of a stage
	siteRoute            // it goes to the branch that its predicates choose
	siteTee              // a copy of it goes to each branch
	siteUnbatch          // its elements go on
	siteBatch            // it goes on with others
	siteWrap             // its value gets its history
)

// A site is a place in a plan, and what happens to an item there. Two sites of
// one stage share its workers.
type site struct {
	kind     siteKind
	cells    cells // of the item's value on arrival
	next     int
	branches []int

	def     *stageDef // of a stage
	pool    int
	pick    func(cell any) int          // of a route: the branch, or -1
	known   func(cell, out any) bool    // or: there is a result already
	wrap    func(it *item, in, out any) // of a wrap
	unbatch *unbatchDef
	batch   *batchDef

	gather int // index among plan.gathers, or -1
	point  int // index among plan.points, or -1
	fan    int // index among plan.fans, or -1
	front  int // the point where the first that may come to a fan is seen, and nobody waits; or -1
	class  int // which type of values it is among those of the plan

	outClass int  // the same of what a stage gives
	simple   bool // it is a stage that gives a result for each item
	reach    uint64
}

// cells makes and copies the places that values of one type are kept in, for
// those who don't know the type. A cell is a pointer.
type cells struct {
	make  func() any
	clear func(cell any)
	copy  func(to, from any)
}

func cellsOf[T any]() cells {
	return cells{
		make: func() any { return new(T) },
		clear: func(cell any) {
			var none T
			*cell.(*T) = none
		},
		copy: func(to, from any) { *to.(*T) = *from.(*T) },
	}
}

// A builder lays out a plan, back to front.
type builder struct{ sites []site }

func (b *builder) add(s site) int {
	s.gather, s.point, s.fan, s.front = -1, -1, -1, -1
	b.sites = append(b.sites, s)
	return len(b.sites) - 1
}

// nexts are the sites that an item may come to from s.
func (s *site) nexts() []int {
	switch {
	case s.kind == siteEnd:
		return nil
	case s.known != nil:
		return []int{s.branches[0], s.next}
	case s.branches != nil:
		return s.branches
	}
	return []int{s.next}
}

// gathers reports whether several items become one at s.
func (s *site) gathers() bool {
	return s.kind == siteBatch || s.kind == siteStage && s.def.kind == stageFold
}

// expands reports whether items become several at s.
func (s *site) expands() bool {
	return s.kind == siteTee || s.kind == siteUnbatch || s.kind == siteStage && s.def.kind == stageExpand
}

func lay(n node, out cells) *plan {
	b := &builder{}
	b.add(site{kind: siteEnd, cells: out})
	p := &plan{entry: n.lay(b, 0), poolOf: make(map[*stageDef]int)}
	p.sites = b.sites
	p.order()
	p.number()
	return p
}

// order sorts the stages, those upstream first, and refuses names that are
// there twice and stages that come after themselves: with a bounded hand-over
// they could wait for one another.
func (p *plan) order() {
	names := make(map[string]*stageDef)
	after := make(map[*stageDef][]*stageDef)
	var defs []*stageDef // in the order of the sites
	for i := len(p.sites) - 1; i >= 0; i-- {
		s := &p.sites[i]
		if s.kind != siteStage {
			continue
		}
		if known := names[s.def.name]; known == nil {
			names[s.def.name] = s.def
			defs = append(defs, s.def)
		} else {
			must(known == s.def, "two stages are named %q", s.def.name)
		}
		after[s.def] = p.stagesAt(s.next, after[s.def])
	}
	const open, done = 1, 2
	state := make(map[*stageDef]int)
	var path []string
	var visit func(d *stageDef)
	visit = func(d *stageDef) {
		path = append(path, d.name)
		from := slices.Index(path, d.name)
		must(state[d] != open, "the stage %q comes after itself: %s", d.name, strings.Join(path[from:], " → "))
		if state[d] == 0 {
			state[d] = open
			// The last ones first, so that they come last in what is reversed.
			for _, next := range slices.Backward(after[d]) {
				visit(next)
			}
			state[d] = done
			p.pools = append(p.pools, d)
		}
		path = path[:len(path)-1]
	}
	for _, d := range slices.Backward(defs) {
		visit(d)
	}
	slices.Reverse(p.pools)
	for i, d := range p.pools {
		p.poolOf[d] = i
	}
}

// stagesAt adds the stages that come first from the site id on.
func (p *plan) stagesAt(id int, found []*stageDef) []*stageDef {
	s := &p.sites[id]
	if s.kind == siteStage {
		if !slices.Contains(found, s.def) {
			found = append(found, s.def)
		}
		return found
	}
	for _, next := range s.nexts() {
		found = p.stagesAt(next, found)
	}
	return found
}

// number tells the sites where their stage, their gathering, their point of
// order and their type are. Sites are laid back to front, so the last ones are upstream.
func (p *plan) number() {
	types := make(map[reflect.Type]int)
	for i := range p.sites {
		s := &p.sites[i]
		t := reflect.TypeOf(s.cells.make())
		if _, known := types[t]; !known {
			types[t] = len(types)
		}
		s.class = types[t]
	}
	p.classes = len(types)
	for i := range p.sites {
		if s := &p.sites[i]; s.kind == siteStage {
			s.outClass = p.sites[s.next].class
			s.simple = s.def.kind == stageMap
		}
	}
	for i := range p.sites {
		s := &p.sites[i]
		switch s.kind {
		case siteStage:
			s.pool = p.poolOf[s.def]
		case siteWrap:
			p.wraps = true
		}
		if i == 0 || s.gathers() || s.kind == siteStage && s.def.inOrder {
			s.point = len(p.points)
			p.points = append(p.points, i)
		}
	}
	const most = 64 // bits of a reach
	must(len(p.points) <= most, "more than %d batches, reductions and stages in order in one pipeline", most-1)
	for i := range p.sites {
		s := &p.sites[i]
		if s.expands() {
			s.fan = len(p.fans)
			p.fans = append(p.fans, i)
			if len(p.points) < most { // else a run is as right, and only slower
				s.front = len(p.points)
				p.points = append(p.points, i)
			}
		}
		for _, next := range s.nexts() {
			s.reach |= p.sites[next].reach
		}
		for _, at := range []int{s.point, s.front} {
			if at >= 0 {
				s.reach |= 1 << at
			}
		}
	}
	for i := len(p.sites) - 1; i > 0; i-- {
		if s := &p.sites[i]; s.gathers() {
			s.gather = len(p.gathers)
			p.gathers = append(p.gathers, i)
		}
	}
}

// workers is the sum of all stages' workers.
func (p *plan) workers() int {
	sum := 0
	for _, d := range p.pools {
		if sum += d.most(); sum < 0 {
			return math.MaxInt
		}
	}
	return max(sum, 1)
}

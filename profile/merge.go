package profile

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Origin is where a value of the merged profile was written.
type Origin struct {
	Layer     string // the layer's name
	Key       string // the key path in that layer, which may differ from the merged one
	Line, Col int    // 0 when the layer is not a file
}

// BuiltIn is the layer of a value that no layer sets.
const BuiltIn = "built in"

// Effective is the merged profile. A profile whose Merge or [Check] gave a fatal
// finding must not be run.
type Effective struct {
	Profile Profile
	Origins map[string]Origin // every value by key path: workspace.mask[3], mount[0].target, agent.env.CI
	Layers  []string          // names of the layers merged, lowest first
}

// Lookup resolves an entry of extends that is not a preset.
type Lookup func(name string) (Layer, error)

// maxExtends bounds the chain: a lookup could answer with new names for ever.
const maxExtends = 32

// A cell is one merged value with its origin. One of scalar, items and table holds it.
type cell struct {
	from   Origin
	scalar any // string, int64, float64, Size, Duration, or []string for an argv
	items  []item
	table  map[string]item
}

type item struct {
	value string
	from  Origin
}

// cells are the values of the profile, or of one row, by schema path.
type cells map[string]cell

// A row keeps the origin of the heading it was written under.
type row struct {
	from  Origin
	cells cells
}

type merger struct {
	lookup Lookup
	top    cells
	rows   map[string][]row
	layers []string
	merged map[string]bool // names, as extends writes them, and names of layers
	stack  []string
	out    Findings
}

// Merge lays the layers over one another, lowest first, resolving extends depth
// first. Lists append, scalars replace, tables merge by name, and a row replaces
// the row of the same name. A layer that is not trusted can only tighten. The
// result is never nil, so that [Check] can add what it finds.
func Merge(layers []Layer, lookup Lookup) (*Effective, Findings) {
	m := &merger{lookup: lookup, top: cells{}, rows: map[string][]row{}, merged: map[string]bool{}}
	for _, l := range layers {
		m.layer(l)
	}
	return m.effective(), m.out
}

func (m *merger) layer(l Layer) {
	doc, fs := Parse(l)
	m.out = append(m.out, fs...)
	m.stack = append(m.stack, l.Name)
	m.merged[l.Name] = true
	if l.Kind == Builtin {
		m.merged[strings.TrimPrefix(l.Name, presetPrefix)] = true
	}
	for i, name := range doc.Extends() {
		m.extend(doc, index("extends", i), name)
	}
	m.stack = m.stack[:len(m.stack)-1]
	m.layers = append(m.layers, l.Name)
	a := adder{m: m, doc: doc}
	for _, k := range schemaTable {
		if k.Path == "extends" && !l.Trusted {
			continue // extend has seen to it
		}
		if v, ok := doc.top[k.Path]; ok {
			a.set(m.top, k, k.Path, v)
		}
		for i, r := range doc.rows[k.Path] {
			a.row(k, index(k.Path, doc.lines[k.Path][i]), r)
		}
	}
}

// extend merges what one entry of extends names, unless that has happened.
func (m *merger) extend(doc *Document, at, name string) {
	a := adder{m: m, doc: doc}
	if !doc.layer.Trusted {
		if !m.merged[name] {
			a.widen(at, fmt.Sprintf("would lay %q under this profile", name))
		}
		return
	}
	l, ok := Preset(name)
	if !ok {
		if m.lookup == nil {
			a.add(at, fmt.Sprintf("there is no preset %q", name), presetHint())
			return
		}
		var err error
		if l, err = m.lookup(name); err != nil {
			a.add(at, err.Error(), presetHint())
			return
		}
	}
	switch {
	case slices.Contains(m.stack, l.Name):
		a.add(at, fmt.Sprintf("extends itself: %s", strings.Join(append(slices.Clone(m.stack), l.Name), " → ")), "remove one of them")
	case len(m.stack) >= maxExtends:
		a.add(at, fmt.Sprintf("is more than %d profiles deep", maxExtends), "")
	case !m.merged[l.Name]:
		m.layer(l)
	}
	m.merged[name] = true
}

func presetHint() string { return "the presets are " + strings.Join(Presets(), ", ") }

// An adder lays the values of one document over what is there.
type adder struct {
	m   *merger
	doc *Document
}

func (a adder) add(at, msg, hint string) {
	pos := a.doc.at(at)
	a.m.out = append(a.m.out, Finding{File: a.doc.layer.Name, Key: at, Line: pos.line, Col: pos.col, Message: msg, Hint: hint})
}

func (a adder) origin(at string) Origin {
	pos := a.doc.at(at)
	return Origin{Layer: a.doc.layer.Name, Key: at, Line: pos.line, Col: pos.col}
}

// set lays one value over what c holds.
func (a adder) set(c cells, k Key, at string, v any) {
	if !a.doc.layer.Trusted {
		a.tighten(c, k, at, v)
		return
	}
	switch v := v.(type) {
	case []string:
		if k.Type == TypeArgv {
			c[k.Path] = cell{from: a.origin(at), scalar: v}
			return
		}
		c[k.Path] = a.append(k, c[k.Path], at, v)
	case map[string]string:
		old := c[k.Path]
		table := maps.Clone(old.table)
		if table == nil {
			table = map[string]item{}
		}
		for name, s := range v {
			table[name] = item{s, a.origin(join(at, name))}
		}
		c[k.Path] = cell{from: a.origin(at), table: table}
	default:
		c[k.Path] = cell{from: a.origin(at), scalar: v}
	}
}

// append adds items to a list; an item that is there keeps its first origin.
func (a adder) append(k Key, old cell, at string, values []string) cell {
	items := slices.Clone(old.items)
	for i, v := range values {
		if !holds(k, items, v) {
			items = append(items, item{v, a.origin(index(at, i))})
		}
	}
	return cell{from: a.origin(at), items: items}
}

// holds reports whether adding v to a list would change nothing. In a list of
// patterns the last match wins, so ".env" after "!.env" is not a repetition.
func holds(k Key, items []item, v string) bool {
	for i := len(items) - 1; i >= 0; i-- {
		if items[i].value == v {
			return true
		}
		if k.patterns() && strings.HasPrefix(items[i].value, "!") != strings.HasPrefix(v, "!") {
			return false
		}
	}
	return false
}

// row lays one row over the rows of its table.
func (a adder) row(k Key, at string, values map[string]any) {
	id := ""
	if k.ID != "" {
		if id = rowID(k, values); id == "" {
			return // the parser has said so
		}
	}
	old := slices.IndexFunc(a.m.rows[k.Path], func(r row) bool { return k.ID != "" && r.id(k) == id })
	fresh := a.fresh(k, at, values)
	switch {
	case !a.doc.layer.Trusted:
		a.tightenRow(k, at, values, old, fresh)
	case old >= 0:
		a.m.rows[k.Path][old] = fresh
	case k.ID == "" && slices.ContainsFunc(a.m.rows[k.Path], fresh.same):
	default:
		a.m.rows[k.Path] = append(a.m.rows[k.Path], fresh)
	}
}

// fresh makes a row of a document's values alone.
func (a adder) fresh(k Key, at string, values map[string]any) row {
	r := row{from: a.origin(at), cells: cells{}}
	trusted := *a.doc
	trusted.layer.Trusted = true // there is nothing below a new row to tighten
	b := adder{m: a.m, doc: &trusted}
	for _, f := range children(k.Path + "[]") {
		if v, ok := values[f.Path]; ok {
			b.set(r.cells, f, at+"."+f.name(), v)
		}
	}
	return r
}

func (r row) id(k Key) string {
	s, _ := r.cells[k.Path+"[]."+k.ID].scalar.(string)
	return cleanID(k, s)
}

// same compares the values of two rows, not their origins.
func (r row) same(o row) bool {
	return maps.EqualFunc(r.cells, o.cells, func(x, y cell) bool { return reflect.DeepEqual(x.value(), y.value()) })
}

// value returns a cell without its origins, as a Document holds it.
func (c cell) value() any {
	switch {
	case c.items != nil:
		out := make([]string, len(c.items))
		for i, it := range c.items {
			out[i] = it.value
		}
		return out
	case c.table != nil:
		out := make(map[string]string, len(c.table))
		for name, it := range c.table {
			out[name] = it.value
		}
		return out
	}
	return c.scalar
}

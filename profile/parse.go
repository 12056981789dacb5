package profile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Kind says where a layer comes from.
type Kind uint8

// The kinds of layer, in the order in which they lie over one another.
const (
	Builtin Kind = iota + 1 // a preset, part of the program
	System                  // /etc/agentbox
	User                    // the person's own configuration
	Named                   // a profile that --profile or extends names
	Project                 // ./agentbox.toml
	Flags                   // the command line
)

// maxBytes bounds a profile; a longer file is not one a person wrote.
const maxBytes = 128 << 10

// A Layer is the bytes of one profile and how far they are trusted. The zero
// value is not trusted.
type Layer struct {
	Name    string // the origin shown to people: "preset default", a file, "--network"
	Kind    Kind
	Trusted bool // an untrusted layer may only tighten the ones before it
	Data    []byte
}

// A Document is one parsed layer.
type Document struct {
	layer Layer
	pos   map[string]position
	top   map[string]any              // by schema path
	rows  map[string][]map[string]any // rows of a table, each by schema path
	lines map[string][]int            // for each of rows, its number in the file
}

// Extends returns the names the document asks to be laid under it.
func (d *Document) Extends() []string {
	names, _ := d.top["extends"].([]string)
	return slices.Clone(names)
}

// Parse reads one layer and returns everything that is wrong with its form. The
// document is never nil; it holds what could be read.
func Parse(l Layer) (*Document, Findings) {
	p := &parser{doc: &Document{
		layer: l, pos: map[string]position{},
		top: map[string]any{}, rows: map[string][]map[string]any{}, lines: map[string][]int{},
	}}
	if len(l.Data) > maxBytes {
		return p.doc, Findings{{File: l.Name, Message: fmt.Sprintf("is larger than %s", Size(maxBytes)),
			Hint: "a profile is a short file; is this the right one?"}}
	}
	pos, deep := locate(string(l.Data))
	if deep != nil {
		return p.doc, Findings{{File: l.Name, Line: deep.line, Col: deep.col,
			Message: fmt.Sprintf("is nested more than %d deep", maxDepth)}}
	}
	var raw map[string]any
	if _, err := toml.Decode(string(l.Data), &raw); err != nil {
		return p.doc, Findings{syntaxFinding(l, err)}
	}
	if l.Kind != Flags && l.Kind != Builtin {
		p.doc.pos = pos
	}
	p.table("", "", raw, p.doc.top)
	p.duplicates()
	return p.doc, p.out.sorted()
}

func syntaxFinding(l Layer, err error) Finding {
	f := Finding{File: l.Name, Message: "is not valid TOML"}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		f.Line, f.Col = pe.Position.Line, pe.Position.Col
		f.Message = "not valid TOML: " + withoutContent(pe.Message)
	}
	return f
}

// harmless matches a message that quotes single characters only.
var harmless = lazily(`^[^'"]*('(\\?[^\\'"]|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|"|"""|\'\'\')'[^'"]*)*$`)

// withoutContent drops what the decoder quotes from the file: the line that
// broke may be the one with a secret. The name of a known key stays.
func withoutContent(msg string) string {
	if strings.Contains(msg, "out of range") {
		return "a number is out of range"
	}
	if strings.HasPrefix(msg, "Key ") || strings.HasSuffix(msg, "is not a table") {
		for _, k := range slices.Concat(schemaTable, sectionTable) {
			if strings.Contains(msg, "'"+k.Path+"'") || strings.Contains(msg, `"`+k.Path+`"`) {
				return k.Path + " is defined twice"
			}
		}
		return "a key is defined twice"
	}
	if harmless().MatchString(msg) {
		return msg
	}
	msg = msg[:strings.IndexAny(msg, `'"`)]
	if strings.HasPrefix(msg, "expected value") {
		return "a value is missing, or is a text without quotes"
	}
	msg = strings.TrimRight(msg, " :,;")
	for _, tail := range []string{"but got", "but found"} {
		msg = strings.TrimRight(strings.TrimSuffix(msg, tail), " ,;")
	}
	return strings.ToLower(msg)
}

type parser struct {
	doc *Document
	out Findings
}

func (p *parser) add(at, msg, hint string) {
	f := Finding{File: p.doc.layer.Name, Key: at, Message: msg, Hint: hint}
	pos := p.doc.at(at)
	f.Line, f.Col = pos.line, pos.col
	p.out = append(p.out, f)
}

// at returns where a path stands, or what contains it.
func (d *Document) at(path string) position {
	for path != "" {
		if pos, ok := d.pos[path]; ok {
			return pos
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return position{}
}

// table reads the keys under one path: at in the file, schema in the table of keys.
func (p *parser) table(at, schema string, raw map[string]any, into map[string]any) {
	names := make([]string, 0, len(raw))
	for name := range raw {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := p.doc.at(join(at, a)), p.doc.at(join(at, b))
		return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.col, y.col), cmp.Compare(a, b))
	})
	for _, name := range names {
		here, path := join(at, name), join(schema, name)
		if isSection(path) {
			p.section(here, path, raw[name], into)
			continue
		}
		k, ok := lookupKey(path)
		switch {
		case !ok:
			msg, hint := unknownKey(schema, name)
			p.add(here, msg, hint)
		case k.Type == TypeRows:
			p.readRows(here, k, raw[name])
		default:
			if v, ok := p.value(here, k, raw[name]); ok {
				into[path] = v
			}
		}
	}
}

func (p *parser) section(at, path string, raw any, into map[string]any) {
	t, ok := raw.(map[string]any)
	if !ok {
		p.add(at, "wants a table, found "+typeName(raw), fmt.Sprintf("write [%s] and its keys below", path))
		return
	}
	p.table(at, path, t, into)
}

func (p *parser) readRows(at string, k Key, raw any) {
	var tables []map[string]any
	switch raw := raw.(type) {
	case []map[string]any:
		tables = raw
	case []any:
		for i, r := range raw {
			t, ok := r.(map[string]any)
			if !ok {
				p.add(index(at, i), "wants a table, found "+typeName(r), fmt.Sprintf("write [[%s]] and its keys below", k.Path))
			}
			tables = append(tables, t)
		}
	default:
		p.add(at, "wants an array of tables, found "+typeName(raw), fmt.Sprintf("write [[%s]] with two brackets", k.Path))
	}
	for i, t := range tables {
		if t == nil {
			continue
		}
		row := map[string]any{}
		p.table(index(at, i), k.Path+"[]", t, row)
		p.doc.rows[k.Path] = append(p.doc.rows[k.Path], row)
		p.doc.lines[k.Path] = append(p.doc.lines[k.Path], i)
	}
}

// duplicates finds rows of one file that answer to the same name: later layers
// replace earlier ones on purpose, one file does so only by mistake.
func (p *parser) duplicates() {
	for _, k := range schemaTable {
		if k.ID == "" {
			continue
		}
		seen := map[string]string{}
		for i, row := range p.doc.rows[k.Path] {
			at := index(k.Path, p.doc.lines[k.Path][i])
			id := rowID(k, row)
			switch first, dup := seen[id]; {
			case id == "":
				p.add(at, fmt.Sprintf("has no %s", k.ID), "")
			case dup:
				p.add(at+"."+k.ID, fmt.Sprintf("%q is also the %s of %s", id, k.ID, first), "keep one of the two")
			default:
				seen[id] = at
			}
		}
	}
}

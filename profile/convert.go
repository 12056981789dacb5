package profile

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// value reads one TOML value as its key wants it.
func (p *parser) value(at string, k Key, raw any) (any, bool) {
	switch k.Type {
	case TypeString:
		return p.text(at, raw, false)
	case TypeInteger:
		return p.integer(at, raw)
	case TypeNumber:
		return p.number(at, raw)
	case TypeBoolean:
		if b, ok := raw.(bool); ok {
			return b, true
		}
		p.wants(at, "true or false", raw)
		return nil, false
	case TypeSize:
		return p.size(at, raw)
	case TypeDuration:
		return p.duration(at, raw)
	case TypeList, TypeArgv:
		return p.list(at, raw, k.Type == TypeArgv)
	case TypeTable:
		return p.env(at, raw)
	}
	p.wants(at, "no value", raw)
	return nil, false
}

func (p *parser) wants(at, what string, raw any) {
	p.add(at, fmt.Sprintf("wants %s, found %s", what, typeName(raw)), "")
}

// text reads a string. Control characters are allowed only where programs get
// the string as it is; elsewhere it is a path, a name or a pattern.
func (p *parser) text(at string, raw any, anyText bool) (any, bool) {
	s, ok := raw.(string)
	if !ok {
		p.wants(at, "a string", raw)
		return nil, false
	}
	bad := func(r rune) bool { return r == 0 || !anyText && (r < 0x20 || 0x7f <= r && r < 0xa0) }
	if strings.IndexFunc(s, bad) >= 0 {
		p.add(at, "has a control character in it", "")
		return nil, false
	}
	return s, true
}

func (p *parser) integer(at string, raw any) (any, bool) {
	n, ok := raw.(int64)
	if !ok {
		p.wants(at, "a whole number", raw)
		return nil, false
	}
	if n < 0 {
		p.add(at, fmt.Sprintf("%d is negative", n), "")
		return nil, false
	}
	return n, true
}

func (p *parser) number(at string, raw any) (any, bool) {
	var f float64
	switch n := raw.(type) {
	case int64:
		f = float64(n)
	case float64:
		f = n
	default:
		p.wants(at, "a number", raw)
		return nil, false
	}
	// A comparison with nan is never true, so "may only be lower" would pass it.
	if math.IsNaN(f) || math.IsInf(f, 0) {
		p.add(at, "is not a finite number", "")
		return nil, false
	}
	if f < 0 {
		p.add(at, fmt.Sprintf("%v is negative", f), "")
		return nil, false
	}
	return f + 0, true // + 0 turns -0 into 0
}

func (p *parser) size(at string, raw any) (any, bool) {
	const hint = `write "512MiB", "2GiB" or a number of bytes`
	switch v := raw.(type) {
	case int64:
		if v < 0 {
			p.add(at, fmt.Sprintf("%d is negative", v), hint)
			return nil, false
		}
		return Size(v), true
	case string:
		n, err := ParseSize(v)
		if err != nil {
			p.add(at, err.Error(), hint)
			return nil, false
		}
		return n, true
	}
	p.wants(at, "a size", raw)
	return nil, false
}

func (p *parser) duration(at string, raw any) (any, bool) {
	const hint = `write "30s", "4h" or "90d"`
	switch v := raw.(type) {
	case int64:
		if v != 0 {
			p.add(at, fmt.Sprintf("%d has no unit", v), hint)
			return nil, false
		}
		return Duration(0), true
	case string:
		d, err := ParseDuration(v)
		if err != nil {
			p.add(at, err.Error(), hint)
			return nil, false
		}
		return d, true
	}
	p.wants(at, "a duration", raw)
	return nil, false
}

func (p *parser) list(at string, raw any, argv bool) (any, bool) {
	items, ok := raw.([]any)
	if tables, rows := raw.([]map[string]any); rows && len(tables) == 0 {
		items, ok = nil, true // the decoder's reading of []
	}
	if !ok {
		p.wants(at, "a list of strings", raw)
		return nil, false
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		v, ok := p.text(index(at, i), item, argv)
		if !ok {
			continue
		}
		if s := v.(string); s != "" || argv {
			out = append(out, s)
		} else {
			p.add(index(at, i), "is empty", "")
		}
	}
	return out, true
}

func (p *parser) env(at string, raw any) (any, bool) {
	t, ok := raw.(map[string]any)
	if !ok {
		p.wants(at, "a table of strings", raw)
		return nil, false
	}
	out := make(map[string]string, len(t))
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if v, ok := p.text(join(at, name), t[name], true); ok {
			out[name] = v.(string)
		}
	}
	return out, true
}

// typeName is what a person calls a TOML value.
func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a fraction"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case []map[string]any:
		return "an array of tables"
	case map[string]any:
		return "a table"
	}
	return "something else"
}

// rowID returns what names a row: its field k.ID, a path in its clean spelling.
func rowID(k Key, row map[string]any) string {
	id, _ := row[k.Path+"[]."+k.ID].(string)
	return cleanID(k, id)
}

func cleanID(k Key, id string) string {
	if k.ID == "target" {
		return cleanPath(id)
	}
	return id
}

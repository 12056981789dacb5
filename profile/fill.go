package profile

import (
	"reflect"
	"strconv"
)

// defaultValue returns what a key is when no layer sets it, nil if it has no default.
func defaultValue(k Key) any {
	var v any
	var err error
	switch k.Type {
	case TypeString:
		v = k.Default
	case TypeInteger:
		v, err = strconv.ParseInt(k.Default, 10, 64)
	case TypeNumber:
		v, err = strconv.ParseFloat(k.Default, 64)
	case TypeBoolean:
		v, err = strconv.ParseBool(k.Default)
	case TypeSize:
		v, err = ParseSize(k.Default)
	case TypeDuration:
		v, err = ParseDuration(k.Default)
	}
	if err != nil || k.Default == "" {
		return nil
	}
	return v
}

// effective turns the merged cells into the typed profile.
func (m *merger) effective() *Effective {
	e := &Effective{Origins: map[string]Origin{}, Layers: m.layers}
	for _, k := range schemaTable {
		_, set := m.top[k.Path]
		if v := defaultValue(k); v != nil && !set && !k.inRow() {
			m.top[k.Path] = cell{scalar: v, from: Origin{Layer: BuiltIn, Key: k.Path}}
		}
	}
	m.fill(reflect.ValueOf(&e.Profile).Elem(), "", "", m.top, e.Origins)
	return e
}

func (k Key) inRow() bool {
	p := k.parent()
	return len(p) > 2 && p[len(p)-2:] == "[]"
}

// fill sets a struct's fields from cells by their toml tags: at is the path of
// the struct in the merged profile, schema its path in the table of keys.
func (m *merger) fill(v reflect.Value, at, schema string, c cells, origins map[string]Origin) {
	for i := range v.NumField() {
		f, tag := v.Field(i), v.Type().Field(i).Tag.Get("toml")
		here, path := join(at, tag), join2(schema, tag)
		switch {
		case f.Kind() == reflect.Struct:
			m.fill(f, here, path, c, origins)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			rows := m.rows[path]
			f.Set(reflect.MakeSlice(f.Type(), len(rows), len(rows)))
			for n, r := range rows {
				origins[index(here, n)] = r.from
				m.fill(f.Index(n), index(here, n), path+"[]", r.cells, origins)
			}
		default:
			set, ok := c[path]
			fillValue(f, set.value())
			if ok {
				set.trace(here, origins)
			}
		}
	}
}

// join2 joins schema paths, whose parts never need quoting.
func join2(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// fillValue leaves lists and tables empty, not nil, so that JSON shows [] and {}.
func fillValue(f reflect.Value, v any) {
	switch {
	case v != nil:
		f.Set(reflect.ValueOf(v).Convert(f.Type()))
	case f.Kind() == reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
	case f.Kind() == reflect.Map:
		f.Set(reflect.MakeMap(f.Type()))
	}
}

// trace records the origin of a value and of each of its items.
func (c cell) trace(at string, origins map[string]Origin) {
	origins[at] = c.from
	for i, it := range c.items {
		origins[index(at, i)] = it.from
	}
	for name, it := range c.table {
		origins[join(at, name)] = it.from
	}
	if argv, ok := c.scalar.([]string); ok {
		for i := range argv {
			o := c.from
			o.Key = index(o.Key, i)
			origins[index(at, i)] = o
		}
	}
}

package profile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// widen records that an untrusted layer asked for more than the layers below it allow.
func (a adder) widen(at, msg string) {
	a.add(at, "this file may only tighten the profile, and this "+msg, `run "agentbox trust" after reading it`)
}

// tighten lays a value of an untrusted layer over c as far as the key's
// direction allows; what would widen is left out and reported.
func (a adder) tighten(c cells, k Key, at string, v any) {
	switch {
	case k.Direction == Lower:
		a.lower(c, k, at, v)
	case k.Direction == Subset && k.Type == TypeList:
		a.narrow(c, k, at, v.([]string))
	case k.Direction == Superset && k.Type == TypeList:
		a.extendList(c, k, at, v.([]string))
	default:
		a.keep(c, k, at, v)
	}
}

// keep accepts the value the key already has, and nothing else.
func (a adder) keep(c cells, k Key, at string, v any) {
	cur, ok := c[k.Path]
	if t, isTable := v.(map[string]string); isTable {
		for _, name := range slices.Sorted(maps.Keys(t)) {
			if old, set := cur.table[name]; !set || old.value != t[name] {
				a.widen(join(at, name), fmt.Sprintf("would set %s", keyText(name)))
			}
		}
		return
	}
	have := cur.value()
	if !ok {
		have = defaultValue(k)
	}
	if !reflect.DeepEqual(have, v) {
		a.widen(at, fmt.Sprintf("would change %s", change(k, have, v)))
	}
}

func (a adder) lower(c cells, k Key, at string, v any) {
	have := c[k.Path].value()
	if have == nil {
		have = defaultValue(k)
	}
	if have == nil {
		have = zeroOf(v)
	}
	up := compareLoose(k, v, have)
	if up > 0 {
		a.widen(at, fmt.Sprintf("would raise %s", change(k, have, v)))
		return
	}
	if up < 0 {
		c[k.Path] = cell{from: a.origin(at), scalar: v}
	}
}

// compareLoose says whether x is tighter (-1) or looser (+1) than y. Of numbers
// 0 means no limit and is the loosest; of words it is their place in Enum, and a
// word that is not there is looser than any.
func compareLoose(k Key, x, y any) int {
	if k.ordered() {
		place := func(v any) int {
			s, _ := v.(string)
			if i := slices.Index(k.Enum, s); i >= 0 {
				return i
			}
			return len(k.Enum)
		}
		return cmp.Compare(place(x), place(y))
	}
	switch x := x.(type) {
	case int64:
		return compareLimit(x, y)
	case Size:
		return compareLimit(x, y)
	case Duration:
		return compareLimit(x, y)
	case float64:
		return compareLimit(x, y)
	}
	return 1
}

func compareLimit[T int64 | Size | Duration | float64](x T, other any) int {
	y, ok := other.(T)
	switch {
	case !ok:
		return 1
	case x == y:
		return 0
	case x == 0:
		return 1
	case y == 0:
		return -1
	}
	return cmp.Compare(x, y)
}

// narrow makes the list exactly the items given, each of which must be allowed
// already.
func (a adder) narrow(c cells, k Key, at string, values []string) {
	kept, widens := []item{}, false
	for i, v := range values {
		here := index(at, i)
		if !slices.ContainsFunc(c[k.Path].items, func(it item) bool { return covers(k, it.value, v) }) {
			a.widen(here, fmt.Sprintf("would add %q", v))
			widens = true
		} else if !holds(k, kept, v) {
			kept = append(kept, item{v, a.origin(here)})
		}
	}
	if !widens {
		c[k.Path] = cell{from: a.origin(at), items: kept}
	}
}

func (a adder) extendList(c cells, k Key, at string, values []string) {
	items := slices.Clone(c[k.Path].items)
	for i, v := range values {
		here := index(at, i)
		has := slices.ContainsFunc(items, func(it item) bool { return it.value == v })
		switch {
		case k.patterns() && strings.HasPrefix(v, "!"):
			a.widen(here, fmt.Sprintf("would make an exception, %q", v))
		case k.Path == "mount[].options" && (v == "rw" || v == "exec"):
			if !has {
				a.widen(here, fmt.Sprintf("would add %q", v))
			}
		case k.Path == "mount[].options":
			items = slices.DeleteFunc(items, func(it item) bool { return it.value == opposite(v) })
			fallthrough
		default:
			if !holds(k, items, v) {
				items = append(items, item{v, a.origin(here)})
			}
		}
	}
	c[k.Path] = cell{from: a.origin(at), items: items}
}

// opposite returns the mount option that a tightening one takes back.
func opposite(option string) string {
	switch option {
	case "ro":
		return "rw"
	case "noexec":
		return "exec"
	}
	return ""
}

// tightenRow lets an untrusted layer tighten a row that is there, and add rows
// where rows only ever restrict.
func (a adder) tightenRow(k Key, at string, values map[string]any, old int, fresh row) {
	switch {
	case k.ID == "":
		if !slices.ContainsFunc(a.m.rows[k.Path], fresh.same) {
			a.widen(at, fmt.Sprintf("would add a %s", k.Path))
		}
	case old < 0 && k.Direction == Superset:
		a.m.rows[k.Path] = append(a.m.rows[k.Path], fresh)
	case old < 0:
		a.widen(at, fmt.Sprintf("would add the %s %q", k.Path, rowID(k, values)))
	default:
		for _, f := range children(k.Path + "[]") {
			if v, ok := values[f.Path]; ok && f.name() != k.ID {
				a.tighten(a.m.rows[k.Path][old].cells, f, at+"."+f.name(), v)
			}
		}
	}
}

// covers reports whether an item of a list already allows another.
func covers(k Key, have, want string) bool {
	if have == want {
		return true
	}
	switch k.Path {
	case "agent.env_pass":
		prefix, wild := strings.CutSuffix(have, "*")
		return wild && prefix != "" && strings.HasPrefix(want, prefix)
	case "rootfs.expose":
		literal := !strings.ContainsAny(have+want, `*?[\!`)
		return literal && cleanPath(want) == want && strings.HasPrefix(want, have+"/")
	case "network.allow", "credential[].hosts":
		return coversHost(have, want)
	case "network.private":
		h, err1 := netip.ParsePrefix(have)
		w, err2 := netip.ParsePrefix(want)
		return err1 == nil && err2 == nil && h.Bits() <= w.Bits() && h.Contains(w.Addr())
	}
	return false
}

// coversHost reports whether an entry of a host list allows every host that another does.
func coversHost(have, want string) bool {
	h, err1 := ParseHostPattern(have, false)
	w, err2 := ParseHostPattern(want, false)
	if err1 != nil || err2 != nil || max(h.Port, 443) != max(w.Port, 443) && h.Port != w.Port {
		return false
	}
	return h.Subdomains && h.Match(w.Host)
}

// change describes two values. A text that is not one of the key's words is not
// repeated: a source, a format or a URL may hold a secret.
func change(k Key, from, to any) string {
	switch to.(type) {
	case Size, Duration, int64, float64:
		return fmt.Sprintf("it from %v to %v", from, to)
	case string:
		if slices.Contains(k.Enum, fmt.Sprint(to)) {
			return fmt.Sprintf("it from %q to %q", from, to)
		}
	}
	return "it"
}

func zeroOf(v any) any { return reflect.Zero(reflect.TypeOf(v)).Interface() }

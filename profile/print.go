package profile

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Print returns the document as canonical TOML: keys in the schema's order, one
// spelling for each value, no comments. Parsing it gives the same document.
func (d *Document) Print() []byte {
	var b bytes.Buffer
	for _, k := range schemaTable {
		if k.parent() == "" && k.Type != TypeRows {
			printPair(&b, k, d.top)
		}
	}
	section := ""
	for _, k := range schemaTable {
		parent := k.parent()
		switch {
		case k.Type == TypeRows:
			for _, row := range d.rows[k.Path] {
				printHeading(&b, "[["+k.Path+"]]")
				for _, f := range children(k.Path + "[]") {
					printPair(&b, f, row)
				}
			}
		case parent == "" || strings.HasSuffix(parent, "[]"):
		default:
			if _, ok := d.top[k.Path]; ok && parent != section {
				printHeading(&b, "["+parent+"]")
				section = parent
			}
			printPair(&b, k, d.top)
		}
	}
	return b.Bytes()
}

func printHeading(b *bytes.Buffer, s string) {
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	b.WriteString(s + "\n")
}

func printPair(b *bytes.Buffer, k Key, values map[string]any) {
	if v, ok := values[k.Path]; ok {
		fmt.Fprintf(b, "%s = %s\n", k.name(), printValue(v))
	}
}

func printValue(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	case Size:
		return quote(v.String())
	case Duration:
		return quote(v.String())
	case []string:
		return printList(v)
	case map[string]string:
		return printTable(v)
	}
	return `""`
}

func printList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = quote(s)
	}
	if line := "[" + strings.Join(quoted, ", ") + "]"; utf8.RuneCountInString(line) <= 100 {
		return line
	}
	return "[\n  " + strings.Join(quoted, ",\n  ") + ",\n]"
}

func printTable(t map[string]string) string {
	pairs := make([]string, 0, len(t))
	for _, name := range slices.Sorted(maps.Keys(t)) {
		pairs = append(pairs, keyText(name)+" = "+quote(t[name]))
	}
	if len(pairs) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

// quote writes a TOML basic string. Go's own quoting has escapes that TOML lacks.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || 0x7f <= r && r < 0xa0:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

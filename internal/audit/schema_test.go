package audit

import (
	"cmp"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The schema in docs describes every type of record, field by field, in the words of the source.
func TestSchemaIsTrue(t *testing.T) {
	got, err := json.MarshalIndent(schema(comments(t)), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("..", "..", "docs", "audit-log.schema.json"), append(got, '\n'))
}

type object = map[string]any

func schema(words map[string]string) object {
	kinds := []any{}
	list := events()
	slices.SortFunc(list, func(a, b Event) int { return cmp.Compare(a.Type(), b.Type()) })
	for _, e := range list {
		of := reflect.TypeOf(e).Elem()
		kinds = append(kinds, object{
			"title": e.Type(), "description": words[of.Name()],
			"properties": object{"type": object{"const": e.Type()}, "data": shapeOf(of, words)},
		})
	}
	hash := object{"type": "string", "pattern": "^[0-9a-f]{64}$"}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "agentbox audit log record", "type": "object",
		"properties": object{
			"v": object{"const": Version}, "seq": object{"type": "integer", "minimum": 0}, "time": object{"type": "string", "format": "date-time"},
			"elapsed": object{"type": "integer", "minimum": 0, "description": words["Record.Elapsed"]},
			"session": object{"type": "string"}, "type": object{"type": "string"}, "data": object{"type": "object"}, "prev": hash, "hash": hash,
		},
		"required": []string{"v", "seq", "time", "elapsed", "session", "type", "data", "prev", "hash"}, "additionalProperties": false,
		"oneOf": kinds,
		"$defs": object{"text": object{
			"description": "A text, or what stands for one that is too long or for the rest of a list that is",
			"oneOf": []any{object{"type": "string"}, object{
				"type": "object", "required": []string{"cut", "bytes", "sha256"}, "additionalProperties": false,
				"properties": object{
					"cut": object{"type": "string"}, "bytes": object{"type": "integer"}, "items": object{"type": "integer"}, "sha256": hash,
				},
			}},
		}},
	}
}

func shapeOf(t reflect.Type, words map[string]string) object {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object"}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Slice:
		return object{"type": "array", "items": shapeOf(t.Elem(), words)}
	case reflect.Struct:
		fields, required := object{}, []string{}
		for f := range t.Fields() {
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			shape := shapeOf(f.Type, words)
			if word := words[t.Name()+"."+f.Name]; word != "" {
				shape["description"] = word
			}
			fields[name] = shape
			if rest != "omitempty" {
				required = append(required, name)
			}
		}
		return object{"type": "object", "properties": fields, "required": required, "additionalProperties": false}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	return object{"$ref": "#/$defs/text"}
}

// comments are what the source says of its types and of their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	words := map[string]string{}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE || len(decl.Specs) != 1 {
				return true
			}
			spec, ok := decl.Specs[0].(*ast.TypeSpec)
			if !ok {
				return true
			}
			words[spec.Name.Name] = oneLine(decl.Doc)
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, id := range f.Names {
						words[spec.Name.Name+"."+id.Name] = oneLine(f.Comment)
					}
				}
			}
			return true
		})
	}
	return words
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// Every type of record has its own name, and its zero value can be written and read back.
func TestEveryTypeCanBeWrittenAndRead(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range events() {
		if seen[e.Type()] {
			t.Errorf("%s is there twice", e.Type())
		}
		seen[e.Type()] = true
		back, err := Record{Type: Text(e.Type()), Data: encoded(t, e)}.Event()
		if err != nil || reflect.TypeOf(back) != reflect.TypeOf(e) {
			t.Errorf("%s comes back as %T, %v", e.Type(), back, err)
		}
	}
	if _, err := (Record{Type: "other"}).Event(); err == nil {
		t.Error("an unknown type is known")
	}
}

package audit

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The schema in docs describes every type of record, field by field.
func TestSchemaIsTrue(t *testing.T) {
	got, err := json.MarshalIndent(schema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("..", "..", "docs", "audit-log.schema.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-file +types; -update rewrites it):\n%s", path, diff)
	}
}

type object = map[string]any

func schema() object {
	var kinds []any
	for _, name := range slices.Sorted(maps.Keys(types)) {
		kinds = append(kinds, object{
			"properties": object{"type": object{"const": name}, "data": shapeOf(reflect.TypeOf(types[name]()).Elem())},
		})
	}
	hash := object{"type": "string", "pattern": "^[0-9a-f]{64}$"}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "agentbox audit log record", "type": "object",
		"properties": object{
			"v": object{"const": Version}, "seq": object{"type": "integer", "minimum": 0}, "time": object{"type": "string", "format": "date-time"},
			"session": object{"type": "string"}, "type": object{"type": "string"}, "data": object{"type": "object"}, "prev": hash, "hash": hash,
		},
		"required": []string{"v", "seq", "time", "session", "type", "data", "prev", "hash"}, "additionalProperties": false,
		"oneOf": kinds,
	}
}

func shapeOf(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": "object"}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return object{"type": "string", "contentEncoding": "base64"}
	}
	switch t.Kind() {
	case reflect.Slice:
		return object{"type": "array", "items": shapeOf(t.Elem())}
	case reflect.Struct:
		fields, required := object{}, []string{}
		for i := range t.NumField() {
			name, rest, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			fields[name] = shapeOf(t.Field(i).Type)
			if rest != "omitempty" {
				required = append(required, name)
			}
		}
		return object{"type": "object", "properties": fields, "required": required, "additionalProperties": false}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	}
	return object{"type": "string"}
}

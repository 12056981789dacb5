package profile

import (
	"encoding/json"
	"slices"
	"strings"
)

// property is one part of a JSON Schema; its fields print in this order.
type property struct {
	Schema      string               `json:"$schema,omitempty"`
	Title       string               `json:"title,omitempty"`
	Description string               `json:"description,omitempty"`
	Type        any                  `json:"type,omitempty"`
	Enum        []string             `json:"enum,omitempty"`
	Pattern     string               `json:"pattern,omitempty"`
	Minimum     *int                 `json:"minimum,omitempty"`
	Default     any                  `json:"default,omitempty"`
	Items       *property            `json:"items,omitempty"`
	Properties  map[string]*property `json:"properties,omitempty"`
	Required    []string             `json:"required,omitempty"`
	Additional  any                  `json:"additionalProperties,omitempty"`
}

// JSONSchema returns the profile's form as a JSON Schema, draft 2020-12, for
// editors. It is generated from [Schema]; it describes form, not meaning.
func JSONSchema() []byte {
	root := table("")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "agentbox profile"
	for _, s := range sectionTable {
		t := table(s.Path)
		t.Description = s.Meaning
		root.Properties[s.Path] = t
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil // no value in here can fail to marshal
	}
	return append(out, '\n')
}

// table describes the keys under one path.
func table(path string) *property {
	t := &property{Type: "object", Properties: map[string]*property{}, Additional: false}
	for _, k := range children(path) {
		p := describe(k)
		if k.Type == TypeRows {
			row := table(k.Path + "[]")
			if k.ID != "" {
				row.Required = []string{k.ID}
			}
			p.Items = row
		}
		t.Properties[k.name()] = p
	}
	return t
}

func describe(k Key) *property {
	p := &property{Description: description(k)}
	zero := 0
	words := slices.DeleteFunc(slices.Clone(k.Enum), func(w string) bool { return slices.Contains(k.NotBuilt, w) })
	switch k.Type {
	case TypeString:
		p.Type, p.Enum = "string", words
	case TypeInteger, TypeNumber:
		p.Type, p.Minimum = k.Type, &zero
	case TypeBoolean:
		p.Type = k.Type
	case TypeSize:
		p.Type, p.Minimum = []string{"string", "integer"}, &zero
		p.Pattern = `^[0-9]+(\.[0-9]+)? ?([kKmMgGtTpPeE]([iI]?[bB])?|[bB])?$`
	case TypeDuration:
		p.Type, p.Pattern = "string", `^(0|([0-9]+(\.[0-9]+)?(w|d|h|m|s|ms|us|µs|ns))+)$`
	case TypeList, TypeArgv:
		p.Type, p.Items = "array", &property{Type: "string", Enum: words}
	case TypeTable:
		p.Type, p.Additional = "object", &property{Type: "string"}
	case TypeRows:
		p.Type = "array"
	}
	switch v := defaultValue(k).(type) {
	case nil:
	case Size, Duration:
		p.Default = k.Default
		if k.Type == TypeSize && k.Default == "0" {
			p.Default = 0
		}
	default:
		p.Default = v
	}
	return p
}

// description is a key's meaning with what an editor should say beside it.
func description(k Key) string {
	var b strings.Builder
	b.WriteString(k.Meaning)
	if !k.Built {
		b.WriteString(" Not available in this version.")
	}
	if len(k.NotBuilt) > 0 {
		b.WriteString(" Not available in this version: " + strings.Join(k.NotBuilt, ", ") + ".")
	}
	return b.String()
}

package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// shortest is the length of the shortest form that is worth looking for: what is shorter stands in many a text by chance.
const shortest = 8

// Encodings returns the forms in which a text travels: itself; as strings of JSON and as URLs escape it; in hexadecimal
// digits; and in base64 of either alphabet, wherever in the encoded bytes it begins (as the password after a user's
// name), without the digits at its edges that its neighbours share. A form of less than 8 bytes is left out.
func Encodings(text string) []string {
	out := []string{text}
	out = append(out, jsonForms(text)...)
	for _, escaped := range []string{url.QueryEscape(text), strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), url.PathEscape(text), componentEscape(text)} {
		out = append(out, escaped, lowerEscapes(escaped))
	}
	digits := hex.EncodeToString([]byte(text))
	out = append(out, digits, strings.ToUpper(digits))
	for before := range 3 {
		out = append(out, base64Form(base64.RawStdEncoding, text, before), base64Form(base64.RawURLEncoding, text, before))
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(s string) bool { return len(s) < shortest })
}

// jsonForms are the text inside the quotes: escaped for HTML too, as Go does, not so, and with slashes escaped, as PHP does.
func jsonForms(text string) []string {
	var out []string
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(html)
		if encoder.Encode(text) != nil {
			continue
		}
		inner := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
		out = append(out, inner, strings.ReplaceAll(inner, "/", `\/`))
	}
	return out
}

// componentEscape is JavaScript's encodeURIComponent.
func componentEscape(text string) string {
	escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	return strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(escaped)
}

// lowerEscapes writes the digits of escapes in lower case.
func lowerEscapes(escaped string) string {
	parts := strings.Split(escaped, "%")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToLower(parts[i][:2]) + parts[i][2:]
	}
	return strings.Join(parts, "%")
}

// base64Form is the part of the encoding that depends on nothing but the text, with so many bytes before it.
func base64Form(e *base64.Encoding, text string, before int) string {
	encoded := e.EncodeToString(append(make([]byte, before), text...))
	from, to := (before*8+5)/6, (before+len(text))*8/6
	return encoded[min(from, to):to]
}

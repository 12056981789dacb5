package secret

import (
	"strings"
	"testing"
	"time"
)

func TestParseToken(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	soon, never := now.Add(90*time.Second), time.Time{}
	for name, tc := range map[string]struct {
		text, want string
		ends       time.Time
		err        string
	}{
		"text":                             {"s3cret", "s3cret", never, ""},
		"a token":                          {`{"token":"s3cret"}`, "s3cret", never, ""},
		"a token with a time":              {`{"token":"s3cret","expires_at":"2030-01-02T03:05:35Z"}`, "s3cret", soon, ""},
		"a time elsewhere":                 {`{"access_token":"s3cret","expiry":"2030-01-02T04:05:35.0+01:00"}`, "s3cret", soon, ""},
		"on lines of its own":              {"{\n  \"secret\": \"s3cret\",\n  \"expirationTimestamp\": \"2030-01-02T03:05:35Z\"\n}", "s3cret", soon, ""},
		"with seconds":                     {`{"access_token":"s3cret","expires_in":90,"token_type":"Bearer"}`, "s3cret", soon, ""},
		"with seconds as text":             {`{"access_token":"s3cret","expires_in":"90"}`, "s3cret", soon, ""},
		"with more seconds than there are": {`{"token":"s3cret","expires_in":1e300}`, "s3cret", now.Add(maxLife), ""},
		"with no end":                      {`{"token":"s3cret","expires_at":null,"expiry":""}`, "s3cret", never, ""},
		"two tokens":                       {`{"secret":"other","token":"s3cret"}`, "s3cret", never, ""},
		"one of them empty":                {`{"token":"","secret":"s3cret"}`, "s3cret", never, ""},
		"Kubernetes":                       {`{"kind":"ExecCredential","status":{"token":"s3cret","expirationTimestamp":"2030-01-02T03:05:35Z"}}`, "s3cret", soon, ""},
		"an object without a token":        {`{"key":"s3cret"}`, `{"key":"s3cret"}`, never, ""},
		"something else in braces":         {`{s3cret}`, `{s3cret}`, never, ""},
		"a list":                           {`["s3cret"]`, `["s3cret"]`, never, ""},
		"an empty token":                   {`{"token":"","expires_in":90}`, "", never, "it is empty"},
		"a token of more lines":            {`{"token":"s3cret\nX-Other: 1"}`, "", never, "control character"},
		"text of more lines":               {"s3cret\nX-Other: 1", "", never, "control character"},
		"a key of more lines":              {"{\n\"private_key\": \"s3cret\"\n}", "", never, "control character"},
		"a time that is none":              {`{"token":"s3cret","expires_at":"s3cret"}`, "", never, "expires_at is not a time"},
		"a time that is a number":          {`{"token":"s3cret","expiry":1893553535}`, "", never, "expiry is not a time"},
		"seconds that are none":            {`{"token":"s3cret","expires_in":"s3cret"}`, "", never, "expires_in is not a number"},
		"seconds that are not a number":    {`{"token":"s3cret","expires_in":"NaN"}`, "", never, "expires_in is not a number"},
		"seconds before":                   {`{"token":"s3cret","expires_in":-1}`, "", never, "expires_in is not a number"},
		"seconds in a list":                {`{"token":"s3cret","expires_in":[90]}`, "", never, "expires_in is not a number"},
		"no seconds":                       {`{"token":"s3cret","expires_in":0}`, "", never, "ended already"},
		"a time before":                    {`{"token":"s3cret","expires_at":"2030-01-02T03:04:05Z"}`, "", never, "ended already"},
	} {
		t.Run(name, func(t *testing.T) {
			v, ends, err := parseToken(tc.text, now)
			switch {
			case tc.err == "" && (err != nil || v.Reveal() != tc.want || !ends.Equal(tc.ends)):
				t.Errorf("%q, %s, %v", v.Reveal(), ends, err)
			case tc.err != "" && (err == nil || !v.IsZero() || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "s3cret")):
				t.Errorf("%q, %v", v.Reveal(), err)
			}
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(`{"token":"s3cret","expires_at":"2030-01-02T03:05:35Z"}`)
	f.Add(`{"status":{"token":"s3cret"},"expires_in":1}`)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		v, ends, err := parseToken(text, now)
		switch {
		case err != nil && !v.IsZero():
			t.Errorf("a secret and %v", err)
		case err == nil && (v.IsZero() || strings.ContainsAny(v.Reveal(), "\r\n\x00") || !ends.IsZero() && !now.Before(ends)):
			t.Errorf("%q until %s", v.Reveal(), ends)
		}
	})
}

package secret

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxLife is the longest life that is believed in; beyond it a Duration would overflow.
const maxLife = 100 * 365 * 24 * time.Hour

// parseToken reads what a program wrote: a JSON object with a token and maybe its end, or else the secret as it is. An
// object whose "status" has these is that of Kubernetes' ExecCredential. The zero time means that there is no end.
func parseToken(text string, now time.Time) (Value, time.Time, error) {
	var fields map[string]json.RawMessage
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || json.Unmarshal([]byte(text), &fields) != nil {
		return plainToken(text)
	}
	token, ok := tokenOf(fields)
	if !ok {
		var status map[string]json.RawMessage
		if json.Unmarshal(fields["status"], &status) != nil {
			return plainToken(text)
		}
		if token, ok = tokenOf(status); !ok {
			return plainToken(text)
		}
		fields = status
	}
	ends, err := endOf(fields, now)
	if err != nil {
		return Value{}, time.Time{}, err
	}
	if !ends.IsZero() && !now.Before(ends) {
		return Value{}, time.Time{}, errors.New("it has ended already")
	}
	v, err := newValue(token)
	return v, ends, err
}

func plainToken(text string) (Value, time.Time, error) {
	v, err := newValue(text)
	return v, time.Time{}, err
}

// tokenOf returns the first that is not empty, and whether there is any; an empty one is no secret as it is.
func tokenOf(fields map[string]json.RawMessage) (token string, ok bool) {
	for _, key := range []string{"token", "access_token", "secret"} {
		if raw, there := fields[key]; there && json.Unmarshal(raw, &token) == nil {
			if ok = true; token != "" {
				return token, true
			}
		}
	}
	return "", ok
}

// endOf is when a token ends. No error says what it found, which may be a secret in the wrong place.
func endOf(fields map[string]json.RawMessage, now time.Time) (time.Time, error) {
	for _, key := range []string{"expires_at", "expiry", "expirationTimestamp"} {
		if absent(fields[key]) {
			continue
		}
		var text string
		if json.Unmarshal(fields[key], &text) == nil {
			if ends, err := time.Parse(time.RFC3339, text); err == nil {
				return ends, nil
			}
		}
		return time.Time{}, errors.New(key + ` is not a time such as "2006-01-02T15:04:05Z"`)
	}
	const key = "expires_in"
	if absent(fields[key]) {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseFloat(strings.Trim(string(fields[key]), `"`), 64)
	if err != nil || !(seconds >= 0) {
		return time.Time{}, errors.New(key + " is not a number of seconds")
	}
	return now.Add(time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second))), nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null" || string(raw) == `""`
}

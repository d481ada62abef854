package data

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The texts are CPython's: datetime(2026, 3, 5, 4, 7, 9, 12).strftime(format).
func TestStrftime(t *testing.T) {
	at := time.Date(2026, 3, 5, 4, 7, 9, 12000, time.UTC)
	for format, want := range map[string]string{
		"%d %b %Y": "05 Mar 2026", "%B %-d, %Y": "March 5, 2026", "%A %a %j %y": "Thursday Thu 064 26", "%H:%M:%S.%f": "04:07:09.000012",
		"%I %p %-I": "04 AM 4", "100%% %F%z": "100% 2026-03-05", "%m/%-m": "03/3", "plain": "plain", "%c": "Thu Mar  5 04:07:09 2026",
	} {
		got, err := strftime(at, format)
		require.NoError(t, err, format)
		require.Equal(t, want, got, format)
	}
	for _, format := range []string{"%Q", "%-Y", "%-%"} {
		_, err := strftime(at, format)
		require.ErrorContains(t, err, "is not known", format)
	}
}

// Llama 3.1's guard takes the branch with the date, as in transformers.
func TestStrftimeNowInATemplate(t *testing.T) {
	chat, err := parseChat(`{% if strftime_now is defined %}{% set date = strftime_now("%d %b %Y") %}{% else %}{% set date = "26 Jul ` +
		`2024" %}{% endif %}{{ date }}`)
	require.NoError(t, err)
	before := time.Now()
	got, err := chat.render([]message{{"user", "x"}}, nil)
	require.NoError(t, err)
	require.Contains(t, []string{before.Format("02 Jan 2006"), time.Now().Format("02 Jan 2006")}, strings.TrimSpace(got))
	bad, err := parseChat(`{{ strftime_now("%Q") }}`)
	require.NoError(t, err)
	_, err = bad.render(nil, nil)
	require.ErrorContains(t, err, "strftime_now: %Q")
}

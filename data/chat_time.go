package data

import (
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// strftimeLayouts are Python's directives, in the C locale, as Go's layouts.
var strftimeLayouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04", 'p': "PM",
	'S': "05", 'y': "06", 'Y': "2006", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'x': "01/02/06", 'X': "15:04:05",
	'c': "Mon Jan _2 15:04:05 2006", 'e': "_2", 'h': "Jan", 'z': "", 'Z': "", '%': "",
}

// strftimeNow is the function that transformers gives to templates: datetime.now().strftime(format). now is the time at which the
// template was parsed, so that a text does not change while a model is open.
func strftimeNow(now time.Time) func(*exec.Evaluator, *exec.VarArgs) *exec.Value {
	return func(_ *exec.Evaluator, args *exec.VarArgs) *exec.Value {
		format := argument(args, 0, "format")
		if !format.IsString() {
			return exec.AsValue(fmt.Errorf("strftime_now takes a format"))
		}
		text, err := strftime(now, format.String())
		if err != nil {
			return exec.AsValue(err)
		}
		return exec.AsValue(text)
	}
}

// strftime formats as Python's datetime.strftime does for a time without a zone. %-d and the like leave out a leading zero.
func strftime(t time.Time, format string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		short := format[i] == '-' && i+1 < len(format)
		if short {
			i++
		}
		layout, known := strftimeLayouts[format[i]]
		text := ""
		switch {
		case format[i] == '%' && !short:
			text = "%"
		case format[i] == 'f' && !short:
			text = fmt.Sprintf("%06d", t.Nanosecond()/1000)
		case !known || short && !strings.ContainsRune("dHIjmMSye", rune(format[i])):
			return "", fmt.Errorf("strftime_now: %%%c in %q is not known", format[i], clip(format, 80))
		case layout != "":
			text = t.Format(layout)
		}
		if short {
			if text = strings.TrimLeft(text, "0 "); text == "" {
				text = "0"
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

package grade

import (
	"regexp"
	"strings"
)

// units maps spellings of units to one of them. Words that are not here ("apples") are read as units too, but say nothing.
var units = func() map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(`m meter meters metre metres
cm centimeter centimeters centimetre centimetres
mm millimeter millimeters millimetre millimetres
km kilometer kilometers kilometre kilometres
in inch inches
ft foot feet
yd yard yards
mi mile miles
g gram grams
kg kilogram kilograms
mg milligram milligrams
lb lbs pound pounds
oz ounce ounces
s sec secs second seconds
min mins minute minutes
h hr hrs hour hours
day days
week weeks
month months
year years yr yrs
L l liter liters litre litres
mL ml milliliter milliliters
dollar dollars usd USD
cent cents
yuan rmb RMB
euro euros
unit units
N newton newtons
J joule joules
kJ
W watt watts
kW
V volt volts
Hz hertz
Pa pascal pascals
kPa
K kelvin
mol moles mole
rad radian radians`, "\n") {
		f := strings.Fields(line)
		for _, name := range f {
			m[name] = f[0]
		}
	}
	m["mph"], m["kph"], m["kmh"], m["fps"] = "mi/h", "km/h", "km/h", "ft/s"
	return m
}()

var (
	unitWord  = regexp.MustCompile(`[A-Za-z]+`)
	unitPower = regexp.MustCompile(`\b(?:square|sq|sq\.|squared) `)
	unitCube  = regexp.MustCompile(`\b(?:cubic|cu|cubed) `)
)

// unitKey is the unit in one spelling: "square centimeters" is cm^2. known tells that every word of it is a unit.
func unitKey(name string) (key string, known bool) {
	name = strings.NewReplacer(`\`, "", ",", "", "~", " ", ".", "", "{", "", "}", "", " per ", "/", " / ", "/").Replace(strings.TrimSpace(name))
	power := ""
	if unitPower.MatchString(name + " ") {
		name, power = unitPower.ReplaceAllString(name+" ", ""), "^2"
	}
	if unitCube.MatchString(name + " ") {
		name, power = unitCube.ReplaceAllString(name+" ", ""), "^3"
	}
	known = true
	key = unitWord.ReplaceAllStringFunc(strings.TrimSpace(name), func(w string) string {
		if units[w] == "" && units[strings.ToLower(w)] == "" {
			known = false
			return strings.ToLower(w)
		}
		if units[w] != "" {
			return units[w]
		}
		return units[strings.ToLower(w)]
	})
	return strings.ReplaceAll(key, " ", "") + power, known
}

// withoutUnit splits a number from its unit; a variable behind a number may be a unit too: 5m.
func withoutUnit(n *node) (*node, string) {
	switch n.kind {
	case unit:
		inner, more := withoutUnit(n.args[0])
		return inner, strings.TrimSpace(more + " " + n.name)
	case negative:
		if inner, name := withoutUnit(n.args[0]); name != "" {
			return newNode(negative, inner), name
		}
	case sum:
		last := n.args[len(n.args)-1]
		if inner, name := withoutUnit(last); name != "" && last.kind == unit {
			return newNode(sum, append(append([]*node{}, n.args[:len(n.args)-1]...), inner)...), name
		}
	}
	return n, ""
}

// bareUnit finds a unit that was written as a variable, "5 m" or "3 g/L", behind a number.
func bareUnit(n *node) (*node, string, bool) {
	switch n.kind {
	case product:
		if len(n.args) == 2 && n.args[1].kind == symbol && units[n.args[1].name] != "" && n.args[0].kind == number {
			return n.args[0], n.args[1].name, true
		}
		if len(n.args) == 2 && n.args[1].kind == power && n.args[1].args[0].kind == symbol && units[n.args[1].args[0].name] != "" && n.args[0].kind == number && n.args[1].args[1].isInteger() {
			return n.args[0], n.args[1].args[0].name + "^" + n.args[1].args[1].value.RatString(), true
		}
	case negative:
		if inner, name, ok := bareUnit(n.args[0]); ok {
			return newNode(negative, inner), name, true
		}
	}
	return n, "", false
}

// unitsClash tells whether both units are known and differ.
func unitsClash(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	ka, knownA := unitKey(a)
	kb, knownB := unitKey(b)
	return knownA && knownB && ka != kb && ka != "unit" && kb != "unit" && !strings.HasPrefix(ka, "unit^") && !strings.HasPrefix(kb, "unit^")
}

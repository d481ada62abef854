package grade

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// measure is a unit: what it measures, as powers of base dimensions, and how many base units it is. The base units are those
// of the SI, and for money the largest unit of each currency.
type measure struct {
	dims   map[string]int
	factor *big.Rat
}

// unitTable has a unit to a line: its size in base units, its dimensions, its spellings. The sizes are exact by definition.
const unitTable = `1 length m meter metre 米
1609.344 length mi mile
0.0254 length in inch inches 英寸
0.3048 length ft foot feet 英尺
0.9144 length yd yard
1852 length nmi
9460730472580800 length ly lightyear light-year
0.001 length 毫米
0.01 length 厘米
0.1 length 分米
1000 length 千米 公里
0.001 mass g gram gramme
0.001 mass 克
1 mass 千克 公斤
1000 mass t tonne 吨
907.18474 mass ton
0.45359237 mass lb lbs pound
0.028349523125 mass oz ounce
1 time s sec second 秒
60 time min minute 分钟
3600 time h hr hour 小时
86400 time day 天
604800 time week wk 周
fortnight fortnight fortnight
1 month month mo 月
12 month year yr 年
120 month decade
1200 month century centuries
0.001 length^3 L l liter litre 升
0.000001 length^3 cc 毫升
0.003785411784 length^3 gal gallon
0.000946352946 length^3 qt quart
0.000473176473 length^3 pt pint
0.0002365882365 length^3 cup
0.00001478676478125 length^3 tbsp tablespoon
0.00000492892159375 length^3 tsp teaspoon
4046.8564224 length^2 acre
10000 length^2 ha hectare 公顷
1 length^2 平方米
0.0001 length^2 平方厘米
1 length^3 立方米
0.000001 length^3 立方厘米
1 angle rad radian 弧度
6.2831853 revolution rev revolution
1 time^-1 Hz hertz
1 mass*length*time^-2 N newton
1 mass*length^2*time^-2 J joule
4.184 mass*length^2*time^-2 cal calorie
3600000 mass*length^2*time^-2 kWh kilowatt-hour
1.602176634E-19 mass*length^2*time^-2 eV electronvolt electron-volt
1 mass*length^2*time^-3 W watt
1 mass*length^-1*time^-2 Pa pascal
101325 mass*length^-1*time^-2 atm atmosphere
100000 mass*length^-1*time^-2 bar
1 current A amp ampere
1 current*time C coulomb
1 mass*length^2*time^-3*current^-1 V volt
1 mass*length^2*time^-3*current^-2 Ω ohm
1 temperature K kelvin kelvins
1 celsius celsius centigrade °C
1 fahrenheit fahrenheit °F
1 amount mol mole
0.44704 length*time^-1 mph
0.514444444 knot knot kn
0.3048 length*time^-1 fps
5/18 length*time^-1 kph kmh kmph
1 data bit
8 data byte B
1 dollar dollar usd USD buck 美元 $
0.01 dollar cent ¢ penny pennies
0.05 dollar nickel
0.1 dollar dime
1 euro euro eur EUR €
1 sterling GBP gbp £ quid
0.01 sterling pence
1 yen yen JPY
1 yuan yuan rmb RMB CNY 元
0.1 yuan 角
1 ¥ ¥
1 rupee rupee INR Rs rs ₹
1 won won ₩
1 ruble ruble rouble
1 peso peso
1 franc franc`

// prefixed are the units that take prefixes, by symbol and by name.
const (
	prefixedSymbols = "m g s L l Hz N J W V A Pa mol eV cal Ω B"
	prefixedNames   = "meter metre gram gramme second liter litre hertz newton joule watt volt ampere amp pascal mole " +
		"electronvolt calorie ohm byte bit"
	prefixTable = "G giga 1E9 M mega 1E6 k kilo 1000 d deci 0.1 c centi 0.01 m milli 0.001 µ micro 0.000001 μ " +
		"micro 0.000001 n nano 1E-9 p pico 1E-12 T tera 1E12"
)

var units = func() map[string]*measure {
	m := map[string]*measure{}
	add := func(name string, u *measure) {
		if m[name] == nil {
			m[name] = u
		}
	}
	for line := range strings.Lines(unitTable) {
		f := strings.Fields(line)
		u := &measure{map[string]int{}, rational(f[0])}
		for _, part := range strings.Split(f[1], "*") {
			dim, power, _ := strings.Cut(part, "^")
			n := 1
			if power != "" {
				_, _ = fmt.Sscan(power, &n)
			}
			u.dims[dim] = n
		}
		for _, name := range f[2:] {
			add(name, u)
			add(name+"s", u)
			if len(name) > 3 {
				add(name+"es", u)
			}
		}
	}
	prefixes := strings.Fields(prefixTable)
	for i := 0; i < len(prefixes); i += 3 {
		factor := rational(prefixes[i+2])
		for _, symbol := range strings.Fields(prefixedSymbols) {
			if name := prefixes[i] + symbol; name != "pm" && (prefixes[i] != "d" && prefixes[i] != "c" || strings.Contains("m g L l", symbol)) {
				add(name, m[symbol].times(factor))
			}
		}
		for _, name := range strings.Fields(prefixedNames) {
			add(prefixes[i+1]+name, m[name].times(factor))
			add(prefixes[i+1]+name+"s", m[name].times(factor))
		}
	}
	delete(m, "as")
	return m
}()

func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return new(big.Rat) // which a test finds
	}
	return r
}

func (u *measure) times(factor *big.Rat) *measure {
	return &measure{u.dims, new(big.Rat).Mul(u.factor, factor)}
}

// unitNamed is the unit of a word, nil where it is none. Long names may be capitalised.
func unitNamed(word string) *measure {
	if u := units[word]; u != nil {
		return u
	}
	if len(word) > 2 {
		return units[strings.ToLower(word)]
	}
	return nil
}

// dimension names what a unit measures: "length*time^-1".
func dimension(dims map[string]int) string {
	var parts []string
	for name, n := range dims {
		if n != 0 {
			parts = append(parts, fmt.Sprintf("%s^%d", name, n))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "*")
}

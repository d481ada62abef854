package grade

import (
	"slices"
	"strings"
)

var (
	// silent words never say anything about a number.
	silent = setOf(`a an the in of is total each all altogether exactly about approximately approx roughly around respectively only just st nd rd th equal value answer
		square unit units cubic square_unit whole it its there are`)
	// harmless words may be left out by one side: they name what is counted, which the question says.
	harmless = setOf(`a.m p.m apple orange banana pear egg cookie cake pie pizza slice piece candy chocolate sandwich bottle glass bowl plate box bag pack packet package basket jar can
		people person man woman men women child children kid boy girl student teacher adult friend player team member employee worker visitor guest passenger customer voter family couple
		car bus truck train bike bicycle boat plane ship seat ticket trip ride wheel
		book page word letter chapter line pencil pen crayon marker notebook paper sheet card stamp sticker coin bill toy doll ball marble bead block brick tile stick stone rock
		flower rose tree plant leaf leaves seed bush dog cat bird fish horse cow sheep pig chicken duck goat rabbit animal insect bee ant
		house room floor window door table chair desk shelf shirt shoe sock hat dress pair button
		way time step point number integer digit element solution root factor divisor multiple term prime side edge vertex vertice face triangle square rectangle circle line angle diagonal
		permutation combination arrangement choice outcome possibility possibility case subset pair triple set group value path route sequence function solution_pair quadruple tuple
		game round match goal set lap race move turn roll flip draw test question problem exam class lesson grade vote score mark
		hour_mark item object thing member unit square_unit figure shape color colour ounce_bag gift present photo picture song movie video minute_mark message call
		job task project employee order meal dinner lunch cup_of serving portion spoon drop acre_lot field farm garden row column stack pile bunch bundle roll tank bucket gallon_jug can
		人 个 种 本 只 名 条 件 张 次 棵 辆 头 位 岁 块 支 对 组 套 双 题 页 步 根 间 台 朵 颗 粒 份 箱 袋 瓶 杯 班 枝 片 户 座 盒 排 种方法 个人 名学生 种不同的方法 单位
		cheese soldier monkey mango peach grape lemon berry strawberry tomato potato carrot onion bean nut peanut donut doughnut muffin cupcake brownie lollipop gumball
		house tree farmer nurse doctor dancer singer runner tourist camper cyclist driver gardener baker painter artist musician kitten puppy puppies kitty fox frog turtle butterfly
		pet toy kite puzzle balloon lamp light bulb computer phone laptop tablet battery tire key ring necklace bracelet earring scarf glove jacket coat pant
		painting poster magazine newspaper envelope postcard folder binder ruler eraser clip
		city town country state school library building store shop floor stair street block_away year_old old long tall wide high deep away more_time
		ago arithmetic geometric consecutive independent unique distinguishable
		day_total point_total lattice zero intersection inversion intersection_point real distinct possible different positive ordered valid such required needed
		sold made left remaining earned spent saved collected bought used eaten read shared`)
)

// sameWords tells whether the words beside two numbers say the same: they are the same, or one side has none and those of the
// other may be left out. Words that bound or turn a value (more, least, north, loss) are on no list.
func sameWords(a, b []string) bool {
	a, b = telling(a), telling(b)
	if slices.Equal(a, b) {
		return true
	}
	if len(a) > 0 && len(b) > 0 {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(a, b), func(w string) bool { return !harmless[w] })
}

func telling(words []string) []string {
	var out []string
	for _, w := range words {
		w = synonym(w)
		if w != "" && !silent[w] {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

// synonym is one spelling of words with several.
func synonym(w string) string {
	switch strings.Trim(w, ".") {
	case "am", "a.m":
		return "a.m"
	case "pm", "p.m":
		return "p.m"
	case "r", "rem", "remainder":
		return "remainder"
	case "people":
		return "person"
	case "children":
		return "child"
	}
	return w
}

// differentRuns tells whether both answers are runs of the same letters in another order, which are words or products: ab and
// ba may be either, so that nothing is said. One that is written as a product decides (ab + c, 2xy, a \cdot b).
func differentRuns(a, b string) bool {
	a, b = plainText(a), plainText(b)
	if len(a) != len(b) || len(a) < 2 || strings.EqualFold(a, b) || !isWord(a) || !isWord(b) {
		return false
	}
	x, y := []byte(strings.ToLower(a)), []byte(strings.ToLower(b))
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

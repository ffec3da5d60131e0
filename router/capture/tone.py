"""Whether an answer refuses, or says that it does not know: by phrases, in several languages.

Who answers says so at the beginning, in the first person and about the request itself. Only there
and so it counts: "you cannot return it after 30 days" answers a question, and "I cannot recommend
it enough" is praise. What is quoted, and code, is not the answer's own voice.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from router.wire.characters import normalised

_OPENING: Final = 420
"""Characters of the beginning that are read."""
_SENTENCES: Final = 3
"""Of the beginning, in which a refusal or doubt is about the whole answer."""
_SHORT: Final = 280
"""An answer of so few characters is read to its end."""
_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,200}`", re.DOTALL)
_QUOTED: Final = re.compile(r"[\"“„«][^\"“”„»\n]{1,300}[\"”“»]")
_MARKUP: Final = re.compile(r"[*_#>]+")
_SENTENCE: Final = re.compile(r"(?<=[.!?…])\s+|(?<=[\u3002\uff01\uff1f])|\n+")


class Tone(StrEnum):
    """What an answer is, apart from its content."""

    REFUSES = "refuses"
    HEDGES = "hedges"


_HELPS: Final = (
    r"(?:help|assist|provide|answer|comply|share|create|generate|write|support|fulfil|fulfill|"
    r"discuss|engage|participate|continue|offer|produce|give you|tell you|show you|do (?:that|"
    r"this|so)|process|respond|advise|complete|carry out|perform|facilitate|endorse|encourage|"
    r"promote|translate|summari[sz]e|explain how|speculate|impersonate|pretend|agree to|let you|"
    r"proceed|grant|disclose|reveal|access|look (?:that|this) up|make that|send|book|change|"
    r"cancel|issue|open|place|process)"
)
_REFUSES: Final = (
    # English
    r"\bi(?:'m| am)?,?(?: (?:really|so|very|truly|deeply))?(?: sorry| afraid),?(?: but)?"
    r"(?: that)? (?:i|we)(?: just| simply| really)? (?:can(?:'t|not| not)|won't|could(?:n't| not)|"
    r"(?:am|'m) (?:unable|not able)|will not|do(?:n't| not) (?:have the ability|feel comfortable))",
    rf"\b(?:i|we) (?:can(?:'t|not| not)|won't|will not|could(?:n't| not)|would(?:n't| not))"
    rf"(?: be able to)?(?: (?:really|actually|currently|ethically|legally|knowingly|directly|"
    rf"personally|in good conscience))? {_HELPS}\b(?! you (?:enough|more than))",
    rf"\b(?:i|we)(?:'m| am|'re| are) (?:currently |just |sorry, but )?(?:unable|not able|not "
    rf"permitted|not allowed|not in a position|not programmed|not designed) to {_HELPS}",
    r"\b(?:i|we) (?:must|have to|need to|will have to|am going to have to|'ll have to)"
    r"(?: respectfully| politely)? (?:decline|refuse|pass)\b",
    r"\bi(?:'d| would)? (?:respectfully |politely )?decline to\b",
    r"\bi(?:'d| would) rather not\b",
    r"\bi(?:'m| am) not (?:comfortable|willing|going) (?:with |to )(?:help|assist|provid|shar|writ|"
    r"answer|creat|that|this|do)",
    r"\b(?:that|this|it)(?:'s| is| would)(?: not)?(?: be)?(?: not)? (?:"
    r"something i (?:can't|cannot|won't|am not)|(?:appropriate|possible|ethical|safe|something)"
    r" for me to|beyond what i (?:can|am))",
    r"\b(?:that|this|it)(?:'s| is) (?:not something|beyond what) i(?:'m| am)?"
    r" (?:can|am able|able|allowed|permitted|willing|comfortable)",
    r"\bas an ai\b.{0,60}\b(?:i (?:can't|cannot|do not|don't|am not|'m not)|i'm not)\b",
    r"\b(?:goes |is )?against (?:my|our|openai's|anthropic's) (?:guidelines|programming|policy|"
    r"policies|principles|rules|terms)",
    r"\bsorry,? (?:but )?(?:no|i can't|i cannot|that's not (?:possible|something))\b",
    r"\b(?:your|this|that) request (?:was|has been|cannot|can't|violates|is not allowed)",
    # German
    r"\b(?:das|dabei|damit|hierbei|dazu|leider|so etwas|diese?n? \w+) kann ich"
    r"(?: dir| ihnen| euch| leider| dabei| hier| dazu){0,3} (?:nicht|keine?n?)\b",
    r"\b(?:ich (?:kann|darf|werde|möchte|könnte)|(?:kann|darf|werde|möchte|könnte) ich)"
    r"(?: \w+){0,6} (?:nicht|keine?n?)(?: \w+){0,6} "
    r"(?:helfen|weiterhelfen|behilflich|unterstützen|beantworten|geben|bereitstellen|erstellen|"
    r"schreiben|sagen|machen|tun|liefern|anbieten|ausführen|erfüllen|nachkommen|teilen)\b",
    r"\bich bin nicht (?:in der lage|befugt|berechtigt|dafür)",
    r"\b(?:ich muss|muss ich)(?: \w+){0,3} ablehnen\b",
    # French
    r"\bje (?:ne peux|ne pourrai|ne suis|ne saurais|refuse)\b.{0,20}\b(?:pas en mesure|pas "
    r"autorisée?|aider|répondre|fournir|donner|créer|écrire|accéder|traiter|faire|satisfaire|"
    r"partager|vous dire|accomplir)",
    r"\bje (?:dois|préfère) (?:décliner|refuser|ne pas)\b",
    # Spanish
    r"\bno (?:puedo|podré|podemos|me es posible|me está permitido|estoy autorizad[oa] (?:a|para)|"
    r"estoy en condiciones de)\b.{0,30}\b(?:ayudar|proporcionar|responder|dar|crear|escribir|"
    r"hacer|ofrecer|compartir|acceder|cumplir|generar|atender|realizar|asistir)",
    r"\b(?:debo|tengo que) (?:rechazar|negarme|declinar)",
    # Italian
    r"\bnon (?:posso|potrò|sono in grado di|mi è possibile|sono autorizzat[oa] a)\b.{0,30}\b"
    r"(?:aiutar|fornir|risponder|dare|darti|creare|scriver|fare|offrir|condivider|acceder|"
    r"assister|soddisfar)",
    # Portuguese
    r"\bnão (?:posso|consigo|poderei|estou autorizad[oa] a|me é possível|sou capaz de)\b.{0,30}\b"
    r"(?:ajudar|fornecer|responder|dar|criar|escrever|fazer|oferecer|compartilhar|partilhar|"
    r"acessar|aceder|atender|realizar)",
    # Dutch
    r"\b(?:ik kan|kan ik|ik mag|mag ik)(?: \w+){0,5} (?:niet|geen)\b.{0,30}\b(?:helpen|geven|"
    r"beantwoorden|verstrekken|maken|schrijven|doen|delen|mee helpen)",
    r"\b(?:daar|hier)(?:mee|bij| )? ?kan ik (?:je|u|jou)? ?(?:helaas )?niet",
    # Polish
    r"\b(?:nie mogę|nie jestem w stanie|nie wolno mi)\b.{0,30}\b(?:pomóc|udzielić|podać|"
    r"odpowiedzieć|napisać|stworzyć|zrobić|udostępnić|tego)",
    # Chinese, Japanese
    r"(?:抱歉|对不起|很遗憾|不好意思).{0,14}(?:无法|不能|没办法|不便)",
    r"我(?:无法|不能|没有办法|不会)(?:为您|为你|帮|提供|协助|回答|满足|完成|参与|生成|编写|执行)",
    r"(?:申し訳|すみません|恐れ入り).{0,50}(?:できません|いたしかねます|出来ません|お答えできかね|"
    r"お手伝いできません)",
    r"(?:お答え|お手伝い|ご提供|提供|対応)(?:する|すること)?(?:は|が)?(?:できません|いたしかねます)",
)
_HEDGES: Final = (
    # English
    r"\bi(?: am|'m)?(?: really| honestly)? (?:do not|don't|did not|didn't)"
    r"(?: actually| really| exactly| currently)? (?:know(?! (?:if|whether|about) you)\b(?! how "
    r"(?:frustrat|annoy|important))|have (?:access|(?:any |enough |the |specific |real-time |"
    r"current |sufficient |up-to-date |more |reliable )*(?:information|data|details|context|"
    r"knowledge|records?|ability)|an? (?:definite |definitive |clear |good )?answer))",
    r"\bi (?:have|'ve)? ?(?:no|got no) (?:idea|information|access|way (?:of|to)|record|data)\b",
    r"\bi(?:'m| am) not (?:(?:entirely|completely|quite|totally|really|very|too|100 ?%|fully) )*"
    r"(?:sure|certain|familiar|aware|confident|positive)\b",
    r"\bi(?:'m| am) (?:unsure|uncertain|unaware|unfamiliar)\b",
    r"\bi (?:can't|cannot|can not|couldn't|could not|am unable to|am not able to|was unable to|"
    r"wasn't able to)(?! wait\b)(?: \w+){0,2} (?:find|confirm|verify|"
    r"determine|tell|say|locate|guarantee|see|check|know|recall|identify|"
    r"be (?:sure|certain)|give (?:you )?an? (?:exact|definite|"
    r"definitive|precise))\b",
    r"\bit(?:'s| is)(?: \w+)? (?:hard|difficult|impossible|unclear|not clear|tricky)(?: for me)?"
    r"(?: to (?:say|tell|know|determine|answer|give)| what| how| whether)?\b.{0,40}\b(?:without|"
    r"from (?:here|this|what)|for sure|whether|exactly|definitively|what you|precisely)",
    r"\b(?:this|that|it) (?:might|may|could) (?:be wrong|not be "
    r"(?:accurate|correct|right|current))",
    r"\b(?:please |i'd |but )?take (?:this|that|it) with a (?:grain|pinch) of salt",
    r"\bi (?:may|might|could) be (?:wrong|mistaken|misremembering)\b",
    r"\bmy (?:knowledge|training data|information)(?: \w+){0,2} (?:cut ?off|only goes|ends|is "
    r"limited|does not|doesn't|may be out)",
    r"\b(?:i think|i believe|i guess|maybe|perhaps|possibly),? (?:it|that|this)?.{0,60}\b(?:but|"
    r"though|although) (?:i'm|i am|don't|please|you should|do) ?(?:not|double|check|verify|quote)",
    r"\b(?:i'd|i would) (?:only )?be guessing\b|\bthat(?:'s| is) just a guess\b|\bmy best guess\b",
    # German
    r"\b(?:das )?(?:weiß|weiss) ich (?:leider |auch |gerade )?nicht\b|\bich (?:weiß|weiss)"
    r"(?: es| das| leider){0,2} nicht(?: genau)?\b",
    r"\bich bin (?:mir )?(?:da |leider |nicht )*(?:nicht |un)(?:ganz |völlig )?sicher\b",
    r"\b(?:ich habe|habe ich|liegen mir|mir liegen)(?: \w+){0,3} (?:kein(?:e|en)?)(?: \w+){0,2} "
    r"(?:zugriff|informationen|daten|angaben|einblick|zugang|auskunft)",
    r"\b(?:kann ich|ich kann)(?: \w+){0,4} nicht(?: \w+){0,3} (?:beurteilen|bestätigen|prüfen|"
    r"überprüfen|feststellen|einsehen|genau sagen|garantieren|finden)\b",
    # French
    r"\bje ne (?:sais|connais) (?:pas|malheureusement pas)\b",
    r"\bje ne suis (?:pas|pas tout à fait|pas vraiment|malheureusement pas) (?:sûre?|certaine?)\b",
    r"\bje n'ai (?:pas|aucun|malheureusement pas)(?: \w+){0,2} (?:accès|d'informations?|"
    r"information|de données|connaissance)",
    # Spanish
    r"\bno (?:lo )?sé\b(?! preocupe)|\bno estoy (?:segur[oa]|del todo segur[oa])\b|"
    r"\bno (?:tengo|dispongo de)(?: \w+){0,2} (?:acceso|información|datos|certeza|conocimiento)",
    # Italian
    r"\bnon (?:lo )?so\b|\bnon sono (?:del tutto |molto )?(?:sicur|cert)[oa]\b|"
    r"\bnon (?:ho|dispongo di)(?: \w+){0,2} (?:accesso|informazioni|dati)",
    # Portuguese
    r"\b(?:eu )?não sei\b|\bnão tenho(?: \w+){0,2} (?:certeza|acesso|informaç|dados)|"
    r"\bnão estou (?:cert|segur)[oa]\b",
    # Dutch
    r"\b(?:ik weet|weet ik)(?: het| dat| helaas){0,2} niet\b|\bik ben (?:er )?niet (?:helemaal )?"
    r"zeker\b|\bik heb (?:helaas )?geen (?:toegang|informatie|gegevens)",
    # Polish
    r"\bnie wiem\b|\bnie jestem (?:pewien|pewna)\b|\bnie mam (?:dostępu|informacji|danych)",
    # Chinese, Japanese
    r"我(?:并)?不(?:太)?(?:知道|确定|清楚|了解)|我没有(?:相关|足够|关于|任何)?.{0,6}(?:信息|资料|数据|权限)",
    r"(?:わかりません|分かりません|わかりかねます|存じません|確信が(?:持て|あり)ません|"
    r"情報(?:が|は)?(?:ありません|ございません))",
)
_REFUSAL: Final = re.compile("|".join(f"(?:{each})" for each in _REFUSES))
_HEDGE: Final = re.compile("|".join(f"(?:{each})" for each in _HEDGES))


def tone(text: str) -> Tone | None:
    """Whether an answer refuses or hedges; None: it answers."""
    opening = _opening(text)
    if _REFUSAL.search(opening):
        return Tone.REFUSES
    return Tone.HEDGES if _HEDGE.search(opening) else None


def _opening(text: str) -> str:
    """The sentences that set the tone, in one spelling."""
    text = text[: 4 * _OPENING]
    plain = _QUOTED.sub(" ", _CODE.sub(" ", text))
    plain = plain if plain.isascii() else normalised(plain).text
    plain = _MARKUP.sub("", plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).lower().strip()
    if len(plain) <= _SHORT:
        return " ".join(plain.split())
    sentences = [each for each in _SENTENCE.split(plain) if each.strip()]
    return " ".join(" ".join(sentences[:_SENTENCES]).split())[:_OPENING]

"""The API: items are listed for everybody, and added by who knows the shop's key."""

import hmac
import mimetypes
import os

from django.core.files.storage import default_storage
from django.http import HttpResponse, HttpResponseNotFound, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from shop.models import Item


@csrf_exempt
@require_http_methods(["GET", "POST"])
def items(request):
    if request.method == "POST":
        key = os.environ.get("SHOP_KEY", "")
        if not key or not hmac.compare_digest(request.headers.get("X-Shop-Key", ""), key):
            return JsonResponse({"error": "the shop's key is wrong"}, status=403)
        item = Item(name=request.POST["name"], cents=int(request.POST["cents"]))
        item.picture = request.FILES.get("picture")
        item.save()
        return JsonResponse(shown(item), status=201)
    return JsonResponse({"items": [shown(item) for item in Item.objects.order_by("name")]})


def media(request, name):
    if not default_storage.exists(name):
        return HttpResponseNotFound()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return HttpResponse(default_storage.open(name).read(), content_type=kind)


def shown(item):
    picture = item.picture.url if item.picture else None
    return {"id": item.pk, "name": item.name, "cents": item.cents, "picture": picture}

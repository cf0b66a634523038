"""Media files in the database: enough for a small shop, and they outlive every dyno."""

from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible


@deconstructible
class DatabaseStorage(Storage):
    @property
    def files(self):
        from shop.models import StoredFile

        return StoredFile.objects

    def _open(self, name, mode="rb"):
        return ContentFile(bytes(self.files.get(name=name).content), name=name)

    def _save(self, name, content):
        self.files.create(name=name, content=content.read())
        return name

    def exists(self, name):
        return self.files.filter(name=name).exists()

    def delete(self, name):
        self.files.filter(name=name).delete()

    def url(self, name):
        return f"/api/media/{name}"
